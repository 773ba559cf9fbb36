from dataclasses import replace

import numpy as np
import pytest

from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable, LayerTimes, Spread
from gdws_explorer.network.network import Network
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.runner import LocalExecutor, StudyRun
from gdws_explorer.study.search import Search


def searched(evaluator, aim, **settings):
    finder = Search(evaluator.networks, aim, **settings)
    batch = StudyRun(evaluator, finder.plans(), record=finder.tell, total=finder.evaluations)
    return finder, batch.run(LocalExecutor(evaluator))


def test_it_begins_with_the_analytic_front_and_goes_on_from_there(evaluator, network):
    aim = Objectives(network, ("robust", "macs"))
    finder, records = searched(evaluator, aim, evaluations=20, warm=6)
    assert len({r.plan.hash for r in records}) == 20
    shares = np.linspace(network.least("macs"), 1, 6)
    for record, share in zip(records[:6], shares, strict=True):
        assert record.plan == network.budget(macs=min(1, share + 1e-9), weights="relative")
    grown = aim.hypervolume_history(records)
    assert list(grown) == sorted(grown)
    assert grown[-1] == pytest.approx(aim.hypervolume(records))
    assert finder.study.metric_names == ["robust", "macs"]
    assert len(finder.study.best_trials) >= len({tuple(v) for v in aim.values(aim.front(records))})


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_the_same_seed_finds_the_same(evaluator, network, sampler):
    aim = Objectives(network, ("clean", "params"))

    def plans(seed):
        found = searched(evaluator, aim, evaluations=12, warm=4, sampler=sampler, seed=seed)[1]
        return [r.plan for r in found]

    assert plans(0) == plans(0) != plans(1)


def test_several_sources_are_searched_together(evaluator, network, images):
    views = (network, network.refitted(images[0]))
    evaluator = replace(evaluator, networks=views)
    _, records = searched(evaluator, Objectives(network), evaluations=10, warm=4)
    assert {r.plan.calibration for r in records} == {None, views[1].label}


def test_a_bound_on_the_cost_is_kept_by_every_plan(evaluator, network):
    aim = Objectives(network, constraints={"macs": 0.6})
    _, records = searched(evaluator, aim, evaluations=12)
    assert all(r.macs <= 0.6 * network.macs for r in records)
    with pytest.raises(BudgetError, match=r"the constraint of 0\.0001 on macs cannot be met"):
        Search([network], Objectives(network, constraints={"macs": 0.0001}))


def test_an_accuracy_that_is_asked_for_reaches_the_sampler(evaluator, network):
    aim = Objectives(network, constraints={"clean": 0.3})
    finder, records = searched(evaluator, aim, evaluations=10, warm=4)
    told = {t.user_attrs["plan"]: t.constraints for t in finder.study.trials}
    assert set(told) == {r.plan.hash for r in records}
    for record in records:
        assert told[record.plan.hash] == {"clean": pytest.approx(0.3 - record.clean)}
    assert {r.plan.hash for r in aim.front(records)} <= {
        r.plan.hash for r in records if r.clean >= 0.3
    }


def test_a_network_of_few_plans_ends_early(evaluator, network):
    few = Network(network.model, network.example, skip=("0", "4", "6"))
    evaluator = replace(evaluator, networks=(few,))
    _, records = searched(evaluator, Objectives(few), evaluations=60, families=["spatial"], warm=2)
    assert 2 < len(records) < 60


def test_measured_milliseconds_can_be_aimed_at(evaluator, network):
    network.measure_latency()
    try:
        aim = Objectives(network, ("robust", "clean", "ms"))
        _, records = searched(evaluator, aim, evaluations=8, warm=4)
        least, slack = network.least("ms"), network.latencies.slack
        whole = network.latencies.total(())
        assert aim.reference == [0.0, 0.0, whole]
        assert all(least - slack <= aim.value(r, "ms") <= whole + slack for r in records)
    finally:
        network.use_latencies(None)


@pytest.fixture(params=[0.1, 10.0], ids=["dense is slowest", "dense is fastest"])
def timed(network, request):
    """The network with made-up times: its factorised layers are faster, or slower, than dense."""
    net = Network(network.model, network.example)
    layers = {}
    for place, name in enumerate(net.names):
        dense = 0.7 / (3 + place)  # no whole number of nanoseconds
        layer = net.layer(name)
        curves = {
            family: LatencyCurve(
                tuple((1,) for _ in range(2 if family == "tucker2" else 1)),
                (request.param * dense / (1 + len(family)),),
            )
            for family in layer.families
        }
        layers[name] = LayerTimes(dense, curves)
    total = sum(layer.dense for layer in layers.values())
    spread = Spread(total, total, 1)
    net.use_latencies(LatencyTable(1, 1, "cpu", {}, net.fingerprint, total + 1 / 7, spread, layers))
    return net


def test_the_least_milliseconds_are_accepted_as_a_bound(evaluator, timed):
    least = timed.least("ms")
    cheapest = timed.budget(ms=least)
    measured = timed.latencies.total(cheapest)
    assert measured == pytest.approx(least, abs=timed.latencies.slack)
    for bound in (least, measured):
        assert timed.latencies.total(timed.budget(ms=bound)) == measured
        aim = Objectives(timed, ("clean", "ms"), {"ms": bound})
        _, records = searched(replace(evaluator, networks=(timed,)), aim, evaluations=3, warm=2)
        assert measured in [aim.value(record, "ms") for record in aim.front(records)]
    with pytest.raises(BudgetError, match="cannot be met"):
        timed.budget(ms=0.99 * least)
    with pytest.raises(BudgetError, match="cannot be met"):
        Search([timed], Objectives(timed, ("clean", "ms"), {"ms": 0.99 * least}))


def test_the_least_macs_are_accepted_as_a_bound(evaluator, network):
    least = network.least("macs")
    _, records = searched(
        evaluator, Objectives(network, constraints={"macs": least}), evaluations=3
    )
    assert {record.macs / network.macs for record in records} == {least}


@pytest.mark.parametrize("settings", [{"evaluations": 0}, {"sampler": "grid"}])
def test_searches_that_make_no_sense(network, settings):
    with pytest.raises(ExplorerError, match="expected"):
        Search([network], Objectives(network), **settings)
