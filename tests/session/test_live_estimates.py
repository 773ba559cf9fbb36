"""Estimates while dragging: the latest plan wins, and only in its own setting."""

import copy
import threading

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.network.dense_view import DenseView
from gdws_explorer.robust import transfer
from gdws_explorer.session.live_estimates import LiveEstimates

HOW = (gx.FGSM(0.15), 60, 0)


@pytest.fixture(scope="module")
def net(bench):
    return gx.Network(bench.model, bench.example).prepare()


@pytest.fixture
def told():
    return threading.Event()


@pytest.fixture
def estimates(net, bench, told):
    made = LiveEstimates(net, bench.data, told.set)
    made.enabled = True
    yield made
    made.close()


def test_an_estimate_is_that_of_the_built_network(estimates, net, bench, told):
    plan = net.budget(macs=0.2)
    estimates.request(net, plan, *HOW)
    assert estimates.latest(plan, *HOW) is None, "nothing is attacked yet"
    estimates.prepare(*HOW)
    estimates.request(net, plan, *HOW)
    assert told.wait(60)
    found = estimates.latest(plan, *HOW)
    twins = transfer.make_adversarial_examples(net.model, bench.data, HOW[0], n=60)
    assert found == transfer.estimate_transfer(net.build(plan), twins)
    assert estimates.latest(net.plan(), *HOW) is None, "of another plan"
    assert estimates.latest(plan, gx.FGSM(0.1), 60, 0) is None, "in another setting"
    estimates.enabled = False
    assert estimates.latest(plan, *HOW) is None


@pytest.mark.slow
def test_it_bounds_the_attack_from_above(estimates, net, bench, told):
    """On average: twins of another network fool less than the network's own."""
    attack = gx.PGD(0.15, 10)
    estimates.prepare(attack, 120, 0)
    higher = 0
    for share in (0.4, 0.2, 0.1):
        plan = net.budget(macs=share)
        told.clear()
        estimates.request(net, plan, attack, 120, 0)
        assert told.wait(60)
        found = estimates.latest(plan, attack, 120, 0)
        own = gx.evaluate(net.build(plan), bench.data, attack, n=120)
        assert found.clean_correct == own.clean_correct
        higher += found.robust_correct - own.robust_correct
    assert higher > 0


def test_the_latest_plan_wins(estimates, net, told, monkeypatch):
    """What is looked at while newer plans come gives way, and those between are never begun."""
    estimates.prepare(*HOW)
    begun, free, seen = threading.Event(), threading.Event(), []
    real = transfer.TransferEstimator.estimate

    def slow(self, network, plan, twins, *, cancel):
        seen.append(plan)
        begun.set()
        assert free.wait(60)
        return real(self, network, plan, twins, cancel=cancel)

    monkeypatch.setattr(transfer.TransferEstimator, "estimate", slow)
    plans = [net.budget(macs=share) for share in (0.5, 0.4, 0.3)]
    estimates.request(net, plans[0], *HOW)
    assert begun.wait(60)
    for plan in plans[1:]:
        estimates.request(net, plan, *HOW)
    free.set()
    estimates.wait(60)
    assert seen == [plans[0], plans[2]]
    assert estimates.latest(plans[2], *HOW) is not None
    assert estimates.latest(plans[0], *HOW) is None


def test_what_is_missing_is_said(net, bench):
    with pytest.raises(gx.DataError, match="no images to attack"):
        LiveEstimates(net, None, lambda: None).prepare(*HOW)
    with pytest.raises(gx.DataError, match="no attack"):
        LiveEstimates(net, bench.data, lambda: None).prepare(None, 60, 0)


def test_a_trained_plan_is_estimated_with_its_own_weights(estimates, net, bench, told):
    torch.manual_seed(0)
    other = copy.deepcopy(bench.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    view = net.trained(other)
    estimates.prepare(*HOW)
    twins = transfer.make_adversarial_examples(net.model, bench.data, HOW[0], n=60)
    for plan in (view.plan(), view.budget(macs=0.5)):
        told.clear()
        estimates.request(view, plan, *HOW)
        assert told.wait(60)
        assert estimates.latest(plan, *HOW) == transfer.estimate_transfer(view.build(plan), twins)
    with pytest.raises(gx.PlanError, match="other weights"):
        DenseView(net).show(view, view.plan())


def test_back_to_a_plan_while_another_is_looked_at(estimates, net, told, monkeypatch):
    estimates.prepare(*HOW)
    first, second = net.budget(macs=0.5), net.budget(macs=0.3)
    estimates.request(net, first, *HOW)
    estimates.wait(60)
    begun, free = threading.Event(), threading.Event()
    real = transfer.TransferEstimator.estimate

    def slow(self, network, plan, twins, *, cancel):
        if plan == second:
            begun.set()
            assert free.wait(60)
        return real(self, network, plan, twins, cancel=cancel)

    monkeypatch.setattr(transfer.TransferEstimator, "estimate", slow)
    estimates.request(net, second, *HOW)
    assert begun.wait(60)
    estimates.request(net, first, *HOW)
    free.set()
    estimates.wait(60)
    assert estimates.latest(first, *HOW) is not None
