"""gx.sweep and gx.search: on a bench, on a model, on a Network, and what they refuse."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer import cli
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.runner import StudyProgress
from gdws_explorer.study.storage.store import Store
from gdws_explorer.study.study_job import StudyJob
from gdws_explorer.study.study_spec import SearchSpec, SweepSpec
from gdws_explorer.study.sweep import Grid

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
        ({"target": 3}, "the target is a int; expected a bench"),
        ({"target": "mnist"}, "unknown bench 'mnist'"),
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


# -- the doors: scripts, the command line and the panel ---------------------------------------

NETS = """
import torch
from torch import nn


def made():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(128, 4)
    )
"""
RESTARTED = gx.PGD(0.1, steps=2, restarts=2)  # images are read under the same with one restart
WORDS = ("--attack", "pgd", "--eps", "0.1", "--steps", "2", "--restarts", "2")


@pytest.fixture
def place(tmp_path, monkeypatch, data):
    """A folder with a network's file and images, for the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "door_nets.py").write_text(NETS)
    x, y = data
    np.savez(tmp_path / "images.npz", x=(255 * x).round().to(torch.uint8).numpy(), y=y.numpy())
    yield tmp_path
    sys.modules.pop("door_nets", None)


@pytest.fixture
def pixels(data):
    """The images as the file has them."""
    return (255 * data[0]).round() / 255, data[1]


def by_panel(spec, model, data, attack, n, store):
    """The job as the explorer's panel makes it, run to its end."""
    network = gx.Network(model, data[0][:1])
    measured = Measurements(network, data, attack, store=store)
    measured.change(attack, n)
    views = NetworkViews(network, data)
    job = StudyJob(spec, measured.evaluator(network), views, measured.store)
    job.run()
    return job


def bare(records):
    """Records without what differs between two measurements of the same plan."""
    return [{**one.to_dict(), "seconds": 0, "created": "", "timings": {}} for one in records]


def by_command(*words):
    assert cli.main([*words, "door_nets.py:made", "--data", "images.npz", *WORDS]) == 0


def test_a_sweep_is_the_same_through_every_door(model, pixels, place):
    stores = {"script": Store(), "panel": Store()}
    gx.sweep(
        model, beta=2, macs=[0.6], sources=("weights", "data"), data=pixels, calibration=pixels,
        attack=RESTARTED, n=20, storage=stores["script"],
    )  # fmt: skip
    spec = SweepSpec(Grid(beta=2, macs=(0.6,)), ("weights", "data"))
    by_panel(spec, model, pixels, RESTARTED, 20, stores["panel"])
    by_command(
        "sweep", "--beta", "2", "--macs", "0.6", "--from", "weights,data", "--calibration",
        "images.npz", "--n", "20", "--storage", "command.db",
    )  # fmt: skip
    stores["command"] = Store("command.db")
    first, *others = (store.records() for store in stores.values())
    assert len(first) >= 5
    for other in others:
        assert [one.plan.hash for one in other] == [one.plan.hash for one in first]
        assert [one.setting for one in other] == [one.setting for one in first]
        assert bare(other) == bare(first)


def test_a_search_is_the_same_through_every_door(model, pixels, place):
    stores = {"script": Store(), "panel": Store()}
    screen = ((gx.PGD(0.1, steps=1), 10),)
    found = gx.search(
        model, evaluations=9, sources="data", screen=screen, constraints={"macs": 0.9}, data=pixels,
        calibration=pixels, attack=RESTARTED, n=20, storage=stores["script"],
    )  # fmt: skip
    spec = SearchSpec(evaluations=9, sources=("data",), screen=screen, constraints={"macs": 0.9})
    job = by_panel(spec, model, pixels, RESTARTED, 20, stores["panel"])
    by_command(
        "search", "--evaluations", "9", "--screen-steps", "1", "--screen-n", "10", "--constraint",
        "macs <= 90%", "--from", "data", "--calibration", "images.npz", "--n", "20", "--storage",
        "command.db",
    )  # fmt: skip
    stores["command"] = Store("command.db")
    assert [bare(stage) for stage in job.results] == [bare(stage) for stage in found.stages]
    assert bare(job.front) == bare(found.front)
    assert list(job.hypervolume_history) == list(found.hypervolume)
    first, *others = (store.records() for store in stores.values())
    for other in others:
        assert [one.setting for one in other] == [one.setting for one in first]
        assert bare(other) == bare(first)


def stopping(event, count):
    """A listener that requests a stop at the count-th record."""
    seen = []

    def record(one):
        seen.append(one)
        if len(seen) == count:
            event.set()

    return record


@pytest.mark.parametrize("first", ["script", "panel"])
def test_a_study_that_one_door_began_is_continued_by_another(model, data, tmp_path, first):
    store, stop = Store(tmp_path / "study.db"), threading.Event()
    script = {
        "macs": 5, "sources": ["data"], "data": data, "calibration": data, "attack": RESTARTED,
        "n": 20, "storage": store,
    }  # fmt: skip
    spec = SweepSpec(Grid(macs=5), ("data",))
    panel = (spec, model, data, RESTARTED, 20, store)
    record = stopping(stop, 2)
    network = gx.Network(model, data[0][:1])
    evaluator = PlanEvaluator((network,), data, RESTARTED, 20)
    job = StudyJob(spec, evaluator, NetworkViews(network, data), store, on_record=record)
    begin = {
        "script": lambda: gx.sweep(model, **script, record=record, cancel=stop),
        "panel": lambda: job.run(cancel=stop),
    }
    with pytest.raises(gx.Cancelled):
        begin[first]()
    assert len(store) == 2
    moved = []
    if first == "script":
        progress = by_panel(*panel).progress
    else:
        gx.sweep(model, **script, progress=moved.append)
        progress = moved[-1]
    assert (progress.known, progress.measured) == (2, progress.total - 2)
    assert len(store) == progress.total


def test_progress_is_a_fraction_with_counts_ten_times_a_second_at_most(model, data):
    moved, started = [], time.monotonic()
    records = gx.sweep(model, macs=12, data=data, attack=FAST, progress=moved.append)
    assert moved[-1] == StudyProgress(
        measured=len(records), total=len(records), seconds=moved[-1].seconds
    )
    assert float(moved[-1]) == 1.0
    assert len(moved) <= 10 * (time.monotonic() - started) + 3


def test_a_search_weighs_by_alpha_where_it_is_requested(model, data):
    settings = {"evaluations": 3, "data": data, "calibration": data, "attack": None}
    objectives = ("clean", "macs")
    plain = gx.search(model, objectives=objectives, **settings)
    weighed = gx.search(model, objectives=objectives, alpha=True, **settings)
    assert len(weighed.records) == len(plain.records) == 3


def test_n_trials_is_another_word_for_evaluations(model, data):
    settings = {"data": data, "attack": None, "objectives": ("clean", "macs")}
    assert len(gx.search(model, n_trials=3, **settings).records) == 3
    with pytest.raises(gx.ExplorerError, match="evaluations is 4 and n_trials is 3"):
        gx.search(model, evaluations=4, n_trials=3, **settings)
