"""gx.sweep and gx.search: on a bench, on a model, on a Network, and what they refuse."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.study.storage.store import Store

FAST = gx.FGSM(0.1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(128, 4)
    )


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(40, 1, 8, 8, generator=generator), torch.arange(40) % 4


def test_a_bench_by_its_name(data):
    bench = gx.load("digits")
    (record,) = gx.sweep("digits", macs=[0.5], attack=gx.FGSM(0.15), n=30)
    net = gx.Network(bench.model, bench.example)
    assert record.plan == net.budget(macs=0.5, weights="relative")
    report = gx.evaluate(net.build(record.plan), bench.data, gx.FGSM(0.15), n=30)
    assert (record.n, record.robust_correct) == (30, report.robust_correct)


def test_every_source_has_its_own_plans_and_one_setting(model, data):
    records = gx.sweep(
        model, beta=2, macs=[0.6], sources=["weights", "refit", "data"], data=data,
        calibration=data[0], attack=FAST,
    )  # fmt: skip
    calibrations = [record.plan.calibration for record in records]
    assert len(set(calibrations)) == 3
    assert {record.setting.key for record in records} == {records[0].setting.key}
    assert records[0].attack == FAST.to_dict()


def test_alpha_weighs_beta(model, data):
    plain = gx.sweep(model, beta=[0.4], data=data, attack=None)
    weighed = gx.sweep(model, beta=[0.4], alpha=True, data=data, calibration=data, attack=None)
    net = gx.Network(model, data[0][:1])
    alpha = net.alpha(*data, None, n=None)
    assert plain[0].plan == net.lego(0.4)
    assert weighed[0].plan == net.lego(0.4, alpha)


def test_a_network_that_is_calibrated_keeps_its_calibration(model, data):
    net = gx.Network(model, data[0][:1])
    seen = net.calibrated(net.calibrate(*data, n=None))
    (record,) = gx.sweep(seen, macs=[0.6], data=data, attack=FAST)
    assert record.plan.calibration == seen.label
    with pytest.raises(gx.DataError, match="calibrated or refitted already"):
        gx.sweep(seen, macs=[0.6], sources="refit", data=data, calibration=data)


def test_a_sweep_that_was_cancelled_goes_on(model, data, tmp_path):
    stop, seen = threading.Event(), []

    def record(one):
        seen.append(one.plan.hash)
        if len(seen) == 2:
            stop.set()

    settings = {"macs": 6, "data": data, "attack": FAST, "storage": tmp_path / "study.db"}
    with pytest.raises(gx.Cancelled):
        gx.sweep(model, record=record, cancel=stop, **settings)
    moved = []
    records = gx.sweep(model, progress=moved.append, **settings)
    assert [one.plan.hash for one in records[:2]] == seen
    assert (moved[-1].known, moved[-1].measured) == (2, len(records) - 2)


def test_a_search_spends_the_strong_attack_on_the_front_alone(model, data):
    store = Store()
    found = gx.search(
        model, evaluations=16, screen=[(None, 20), (gx.FGSM(0.01), 40)], data=data,
        attack=gx.PGD(0.05, steps=3), storage=store, objectives=("clean", "macs"),
    )  # fmt: skip
    assert [stage[0].n for stage in found.stages] == [20, 40, 40]
    assert [stage[0].attack and stage[0].attack["name"] for stage in found.stages] == [
        None, "FGSM", "PGD",
    ]  # fmt: skip
    sizes = [len(stage) for stage in found.stages]
    assert 16 == sizes[0] > sizes[1] >= sizes[2]
    assert found.records == found.stages[-1]
    assert set(found.front) <= set(found.records)
    assert len(found.hypervolume) == 16
    assert len(store) == sum(sizes)


def test_an_interrupted_search_proposes_the_same_and_measures_the_rest(model, data):
    settings = {"evaluations": 14, "data": data, "attack": FAST}
    whole = gx.search(model, **settings)
    store, stop = Store(), threading.Event()

    def record(_one):
        if len(store) == 9:
            stop.set()

    with pytest.raises(gx.Cancelled):
        gx.search(model, record=record, cancel=stop, storage=store, **settings)
    moved = []
    again = gx.search(model, storage=store, progress=moved.append, **settings)
    assert [one.plan for one in again.records] == [one.plan for one in whole.records]
    assert (moved[-1].known, moved[-1].measured) == (9, 5)


def test_the_model_is_not_changed(model, data):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    gx.sweep(model, macs=2, data=data, attack=FAST, sources="refit", calibration=data)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"data": None}, "no images to measure on"),
        ({"target": 3}, "cannot measure a int"),
        ({"target": "mnist"}, "there is no bench 'mnist'"),
        ({"attack": "pgd"}, "attack is 'pgd'; expected an attack, None, or 'usual'"),
        ({"sources": "images"}, "expected some of weights, refit, data"),
        ({"sources": "data"}, "no images to learn from"),
        ({"n": 41}, "n is 41; expected 1 to 40"),
        ({"workers": 2, "scheduler": "tcp://h:1"}, "workers= and scheduler= are given"),
    ],
)
def test_mistakes_are_named(model, data, given, says):
    words = {"target": model, "macs": 2, "data": data, **given}
    with pytest.raises(gx.ExplorerError, match=says):
        gx.sweep(words.pop("target"), **words)
