"""Layer-wise sensitivity: which plans, what is measured of them, and going on after a stop."""

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled
from gdws_explorer.network.network import Network
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.study import layerwise
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.storage.store import Store

ATTACK = gx.PGD(0.15, steps=2)


@pytest.fixture(scope="module")
def network(bench):
    return Network(bench.model, bench.example).prepare()


@pytest.fixture
def measurements(network, bench):
    made = Measurements(network, bench.data, ATTACK)
    made.change(ATTACK, 40)
    return made


def test_every_step_compresses_one_layer_as_well_as_its_budget_allows(network):
    found = layerwise.steps(network)
    assert {step.layer for step in found} == set(network.names)
    for step in found:
        changed = [name for name, choice in step.plan if choice != gx.Dense()]
        assert changed == [step.layer]
        layer = network.summary(step.plan).layers[step.layer]
        assert step.share == layer.macs / layer.dense_macs < 1
        assert step.squared == layer.error
        assert step.relative == layer.error / layer.energy
    conv4 = [step for step in found if step.layer == "conv4"]
    table = network.table("conv4", ("gdws", "tucker2", "svd", "spatial"))
    dense = network.layer("conv4").macs
    for step, share in zip(conv4, layerwise.SHARES, strict=True):
        assert step.share <= share
        assert step.squared == table.error[table.cost <= share * dense].min()


def test_families_layers_and_budgets_can_be_chosen(network):
    found = layerwise.steps(network, ["fc", "conv3"], ["tucker2", "svd"], [0.2, 0.4])
    assert [step.layer for step in found] == ["conv3", "conv3", "fc", "fc"]
    assert found[0].share > found[1].share
    assert {type(step.choice) for step in found} <= {gx.Tucker2, gx.SVD}
    assert layerwise.steps(network, ["fc"], ["gdws"]) == ()
    with pytest.raises(gx.PlanError, match="conv99"):
        layerwise.steps(network, ["conv99"])
    with pytest.raises(gx.ExplorerError, match=r"1\.5"):
        layerwise.steps(network, shares=[0.5, 1.5])


def test_a_budget_out_of_reach_becomes_the_cheapest_choice_once(network):
    found = layerwise.steps(network, ["conv1"], shares=[0.001, 0.002])
    table = network.table("conv1", ("gdws", "tucker2", "svd", "spatial"))
    (step,) = found
    assert step.share == table.cost[0] / network.layer("conv1").macs


def test_points_are_what_evaluate_measures_and_losses_are_paired(measurements, network, bench):
    planned = layerwise.steps(network, ["conv3", "fc"], shares=[0.15, 0.5])
    before = layerwise.curves(measurements, planned)
    assert all(np.isnan(curve.accuracy("robust")).all() for curve in before)
    conv3, fc = layerwise.measure(measurements, network, planned)
    dense = evaluate(bench.model, bench.data, ATTACK, n=40)
    for curve in (conv3, fc):
        for i, step in enumerate(curve.steps):
            report = evaluate(network.build(step.plan), bench.data, ATTACK, n=40)
            for metric in ("clean", "robust"):
                assert curve.accuracy(metric)[i] == getattr(report, metric)
                interval = getattr(report, f"{metric}_interval")
                assert curve.interval(metric)[i].tolist() == list(interval)
                paired = gx.compare(dense, report, metric)
                assert curve.loss(metric)[i] == pytest.approx(-paired.difference)
                assert curve.paired[metric][i] == paired
                low, high = curve.loss_interval(metric)[i]
                assert (-high, -low) == paired.interval
    assert fc.loss("robust")[-1] > 0.3, "a seventh of the classifier cannot do"


def test_progress_is_told_point_by_point(measurements, network):
    planned = layerwise.steps(network, ["conv5"], shares=[0.5, 0.3])
    told, fractions, known = [], [], []

    def hear(progress):
        told.append(progress)
        known.append(len(measurements.records()))

    layerwise.measure(measurements, network, planned, report=hear, progress=fractions.append)
    assert [(p.done, p.total) for p in told] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [p.about for p in told] == [layerwise.DENSE, "conv5", "conv5", ""]
    assert known == [0, 1, 2, 3]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert layerwise.missing(measurements, network, planned) == ()
    assert layerwise.missing(measurements, network, ()) == ()


def test_cancelled_in_a_batch_it_goes_on_from_the_store(network, bench, tmp_path):
    planned = layerwise.steps(network, ["conv5"], shares=[0.5, 0.3, 0.2])

    def opened():
        made = Measurements(network, bench.data, ATTACK, store=Store(tmp_path / "records.db"))
        made.change(ATTACK, 40)
        return made

    first = opened()
    seen, stop = [], threading.Event()

    def progress(fraction):
        seen.append(fraction)
        if fraction > 0.6:  # of four points: within the third
            stop.set()

    with pytest.raises(Cancelled):
        layerwise.measure(first, network, planned, progress=progress, cancel=stop.is_set)
    assert len(first.records()) == 2
    assert max(seen) < 0.75
    first.close()

    second = opened()
    assert [about for about, _ in layerwise.missing(second, network, planned)] == ["conv5"] * 2
    created = {record.created for record in second.records()}
    told = []
    (curve,) = layerwise.measure(second, network, planned, report=told.append)
    assert told[-1].total == 2
    assert created <= {record.created for record in second.records()}
    assert not np.isnan(curve.loss_interval("robust")).any()
    whole = Measurements(network, bench.data, ATTACK)
    whole.change(ATTACK, 40)
    (again,) = layerwise.measure(whole, network, planned)
    assert curve.accuracy("robust").tolist() == again.accuracy("robust").tolist()
    second.close()


def test_other_settings_are_other_measurements(measurements, network):
    planned = layerwise.steps(network, ["conv5"], shares=[0.5])
    layerwise.measure(measurements, network, planned)
    measurements.change(None, 40)
    assert len(layerwise.missing(measurements, network, planned)) == 2
    (curve,) = layerwise.measure(measurements, network, planned)
    assert np.isnan(curve.accuracy("robust")).all()
    assert np.isnan(curve.loss_interval("robust")).all()
    assert not np.isnan(curve.loss_interval("clean")).any()


def test_a_dense_record_without_verdicts_gives_losses_and_is_measured_again(network, bench):
    plain = [replace(record, clean_mask=None, robust_mask=None) for record in bench.records]
    bundled = Measurements(network, bench.data, bench.attack, plain)
    planned = layerwise.steps(network, ["conv5"], shares=[0.5])
    (curve,) = layerwise.curves(bundled, planned)
    assert curve.dense.plan == network.plan()
    assert layerwise.missing(bundled, network, planned)[0] == (layerwise.DENSE, network.plan())


def test_an_unknown_error_is_named(measurements, network):
    (curve,) = layerwise.curves(measurements, layerwise.steps(network, ["fc"]))
    with pytest.raises(gx.ExplorerError, match="'cubic'"):
        curve.analytic("cubic")


def test_losses_are_against_the_dense_network_of_the_same_weights(network, measurements):
    """What was trained and left dense is another network."""
    other = copy.deepcopy(network.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    view = network.trained(other)
    plans = {}
    for one in (view, network):
        planned = layerwise.steps(one, shares=(0.5,))[:1]
        (curve,) = layerwise.measure(measurements, one, planned)
        assert curve.dense.plan == one.plan()
        plans[one] = planned
    (again,) = layerwise.curves(measurements, plans[view])
    assert again.dense.plan == view.plan()
