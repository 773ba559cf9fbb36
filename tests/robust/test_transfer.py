"""Images that were attacked once, shown to other networks."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled, DataError
from gdws_explorer.robust.transfer import (
    LABEL,
    TransferEstimator,
    estimate_transfer,
    make_adversarial_examples,
)
from gdws_explorer.utils.sampling import balanced_sample

PGD = gx.PGD(0.15, steps=10)
STAGED = gx.Staged([gx.FGSM(0.15), gx.PGD(0.15, steps=5, restarts=2), gx.Square(0.15, queries=20)])


@pytest.fixture(scope="module")
def net(bench):
    return gx.Network(bench.model, bench.example)


@pytest.fixture(scope="module")
def examples(bench):
    return make_adversarial_examples(bench.model, bench.data, PGD, n=120, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack",
    [PGD, gx.PGD(1.5, steps=5, norm="l2", restarts=3), gx.FGSM(0.15), STAGED],
    ids=["pgd", "l2", "fgsm", "staged"],
)
def test_the_verdicts_are_those_of_evaluate(bench, attack):
    report = gx.evaluate(bench.model, bench.data, attack, n=120, seed=3)
    made = make_adversarial_examples(bench.model, bench.data, attack, n=120, seed=3)
    assert np.array_equal(made.report.robust_mask, report.robust_mask)
    assert replace(made.report, seconds=0) == replace(report, seconds=0)
    found = estimate_transfer(bench.model, made)
    assert (found.clean_correct, found.robust_correct) == (
        report.clean_correct,
        report.robust_correct,
    )
    assert (found.n, found.attack, found.seed) == (120, attack, 3)
    assert found.robust_interval == report.robust_interval


def test_examples_are_images_of_the_ball_in_the_order_of_the_data(bench, examples):
    x, y = bench.data
    kept = balanced_sample(y, 120, 3).sort().values
    assert torch.equal(examples.x, x[kept])
    assert torch.equal(examples.y, y[kept])
    assert float((examples.examples - examples.x).abs().max()) <= 0.15 + 1e-6
    assert examples.examples.min() >= 0
    assert examples.examples.max() <= 1
    assert (examples.examples != examples.x).flatten(1).any(1).all()  # wrong ones have examples too


def test_fooled_images_go_on_past_the_boundary(bench, examples):
    """Examples that end at the first iterate that fools would fool no compressed network."""
    fooled = ~torch.from_numpy(examples.report.robust_mask)
    with torch.no_grad():
        scores = bench.model(examples.examples)[fooled]
    own = scores.gather(1, examples.y[fooled, None])[:, 0]
    margin = scores.max(1).values - own
    assert (margin > 0).all()
    assert margin.median() > 0.3


def test_an_upper_bound_that_says_so(bench, net, examples):
    for share in (0.6, 0.12):
        small = net.build(net.budget(macs=share))
        found = estimate_transfer(small, examples)
        own = gx.evaluate(small, bench.data, PGD, n=120, seed=3)
        assert found.clean_correct == own.clean_correct
        assert found.robust_correct >= own.robust_correct
    assert found.label == LABEL == "transfer, upper bound"
    assert str(found).startswith("transfer, upper bound ")
    assert "PGD-10 ℓ∞ ε 0.15 on the dense network, seed 3" in str(found)


def test_an_image_must_be_right_as_it_is_too(examples):
    class OnlyExamples(nn.Module):
        """Right on examples, wrong on the images themselves."""

        def forward(self, x):
            known = (x[:, None] == examples.examples[None]).flatten(2).all(2)
            labels = (known.float() @ examples.y.float()[:, None])[:, 0].long()
            return torch.eye(11)[torch.where(known.any(1), labels, 10)]

    found = estimate_transfer(OnlyExamples(), examples)
    assert (found.clean_correct, found.robust_correct) == (0, 0)


def test_the_model_stays_as_it_was(net, examples, trace, same):
    model = net.build(net.plan({"conv4": gx.GDWS(80)})).train()
    before = trace(model)
    estimate_transfer(model, examples)
    assert same(trace(model), before)


def test_an_estimator_makes_examples_once_per_setting(bench, net):
    estimator = TransferEstimator(net, bench.data)
    assert estimator.cached(STAGED, 30) is None
    told = []
    first = estimator.make(STAGED, 30, progress=told.append)
    assert told[-1] == 1.0
    assert first.report.attack == gx.FGSM(0.15)  # the first stage, and it says so
    assert estimator.make(STAGED, 30) is estimator.cached(gx.FGSM(0.15), 30) is first
    assert estimator.make(STAGED, 30, seed=1) is not first
    for n in range(31, 36):
        estimator.make(STAGED, n)
    assert estimator.cached(STAGED, 30) is None  # memory is not for ever
    assert estimator.cached(STAGED, 35) is not None


def test_an_estimator_estimates_plans_as_transfer_does(bench, net):
    estimator = TransferEstimator(net, bench.data)
    examples = estimator.make(PGD, 60)
    for plan in (net.plan(), net.budget(macs=0.3), net.plan({"conv4": gx.Tucker2(9, 9)})):
        assert estimator.estimate(net, plan, examples) == estimate_transfer(
            net.build(plan), examples
        )


def test_stopping(bench, net):
    estimator, stop = TransferEstimator(net, bench.data), threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        estimator.make(PGD, 60, cancel=stop)
    assert estimator.cached(PGD, 60) is None
    examples = estimator.make(PGD, 60)
    with pytest.raises(Cancelled):
        estimator.estimate(net, net.plan(), examples, cancel=stop.is_set)


def test_without_an_attack_there_are_no_examples(bench):
    with pytest.raises(DataError, match="no attack"):
        make_adversarial_examples(bench.model, bench.data, None)
