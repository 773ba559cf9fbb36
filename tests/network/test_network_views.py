"""Views of a network: what they share, and what they do not."""

import pytest
import torch

from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable, LayerTimes, Spread
from gdws_explorer.network.network import Network
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.search import Search


def times(net, ms=1.0):
    """Times of a network whose factorised layers take a quarter of the dense ones."""
    layers = {}
    for name in net.names:
        curves = {
            family: LatencyCurve(((1,),) * (2 if family == "tucker2" else 1), (0.25 * ms,))
            for family in net.layer(name).families
        }
        layers[name] = LayerTimes(ms, curves)
    total = ms * len(layers)
    spread = Spread(total, total, 1)
    return LatencyTable(1, 1, "cpu", {}, net.fingerprint, total, spread, layers)


def view_makers(net, x):
    alpha = {name: torch.rand(net.layer(name).weight_shape[1]) for name in net.names[:2]}
    return {
        "weighted": lambda: net.weighted(alpha),
        "weighted by nothing": lambda: net.weighted({}),
        "refitted": lambda: net.refitted(x),
        "calibrated": lambda: net.calibrated(net.calibrate(x, n=None)),
        "trained": lambda: net.trained(net.build(net.budget(macs=0.6))),
    }


VIEWS = ("weighted", "weighted by nothing", "refitted", "calibrated", "trained")


def agree(net):
    """Whether attribute, budget and the search's objectives say the same about times."""
    if net.latencies is None:
        with pytest.raises(BudgetError, match="no measured times"):
            net.budget(ms=10)
        with pytest.raises(BudgetError, match="no measured times"):
            net.least("ms")
        with pytest.raises(ExplorerError, match="measured times"):
            Objectives(net, ("robust", "ms"))
        return False
    plan = net.budget(ms=net.least("ms"))
    assert net.latencies.total(plan) <= net.least("ms") + net.latencies.slack
    assert Objectives(net, ("robust", "ms")).reference[1] == net.latencies.total(())
    assert Search([net], Objectives(net, ("robust", "ms")))
    return True


@pytest.mark.parametrize("kind", VIEWS)
def test_times_belong_to_one_view(net, images, kind):
    view = view_makers(net, images)[kind]()
    net.use_latencies(times(net))
    assert agree(net)
    assert not agree(view)
    view.use_latencies(times(net, ms=2.0))
    assert net.latencies.network < view.latencies.network
    assert view.least("ms") > net.least("ms")
    later = view_makers(net, images)[kind]()
    assert later.latencies is net.latencies
    assert agree(later)
    net.use_latencies(None)
    assert not agree(net)
    assert agree(later)
    assert agree(view)


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_leaves_its_network_as_it_was(net, images, kind):
    plans = [net.budget(macs=0.5), net.lego(0.1), net.mego(0.5)]
    before = [net.summary(plan) for plan in plans]
    state = dict(vars(net))
    view = view_makers(net, images)[kind]()
    view.budget(macs=0.4), view.lego(0.2), view.prepare()
    assert vars(net) == state
    assert [net.budget(macs=0.5), net.lego(0.1), net.mego(0.5)] == plans
    assert [net.summary(plan) for plan in plans] == before
    assert view.names == net.names
    assert view.fingerprint == net.fingerprint


def test_equal_tables_are_shared_and_others_are_not(net, images):
    makers = view_makers(net, images)
    gdws = net.gdws("layer1.0.conv1")
    table = net.table("layer1.0.conv1", ("gdws",))
    for kind in ("weighted", "weighted by nothing", "refitted"):
        view = makers[kind]()
        view.use_latencies(times(net))
        assert view.gdws("layer1.0.conv1") is gdws
        assert view.table("layer1.0.conv1", ("gdws",)) is table
    for kind in ("calibrated", "trained"):
        assert makers[kind]().gdws("layer1.0.conv1") is not gdws


def test_a_view_of_a_view_keeps_what_it_does_not_replace(net, images):
    alpha = {"layer1.0.conv1": torch.rand(8)}
    calibrated = net.calibrated(net.calibrate(images, n=None), refit=images)
    weighted = calibrated.weighted(alpha)
    assert weighted.label == calibrated.label
    assert weighted.calibration is calibrated.calibration
    assert weighted.refits_on is calibrated.refits_on
    assert calibrated.refitted(images).calibration is None
    assert calibrated.refitted(images).label == net.refitted(images).label
    assert net.weighted(alpha).refitted(images).lego(0.5) == net.refitted(images).lego(0.5)
    trained = net.trained(net.build(net.plan()))
    assert trained.refitted(images).model is trained.model
    assert trained.refitted(images).label != net.refitted(images).label


def test_a_subclass_has_views_of_its_own_class(resnet, images):
    class Mine(Network):
        pass

    assert isinstance(Mine(resnet, images).refitted(images), Mine)
