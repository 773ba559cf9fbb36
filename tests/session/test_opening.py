"""The parts of a session: from a target, whatever it was made of."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.bench.target import resolve_target
from gdws_explorer.network.network import Network
from gdws_explorer.session.opening import open_target
from gdws_explorer.session.session import Session
from gdws_explorer.study.storage.store import Store


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 36, 10)).eval()


@pytest.fixture
def data():
    return torch.rand(12, 1, 8, 8), torch.arange(12) % 10


def test_a_bench_brings_its_records_and_training_images(bench):
    parts = open_target(resolve_target("digits"), cache=False)
    assert (parts.bench, parts.title) == ("digits", bench.title)
    assert len(parts.measurements.records()) == len(bench.records)
    assert torch.equal(parts.calibration[0], bench.train_data[0])


def test_a_module_has_the_measurements_of_its_own_images(model, data):
    parts = open_target(resolve_target(model, data=data, eps=0.1, title="mine"), cache=False)
    assert (parts.title, parts.bench, parts.calibration) == ("mine", None, None)
    assert parts.measurements.how == (gx.PGD(0.1), 12, 0)
    assert parts.measurements.records() == ()


def test_a_store_of_the_caller_stays_open(model, data, tmp_path):
    store = Store(tmp_path / "records.db")
    session = gx.Session(model, data=data, storage=store, cache=False)
    session.close()
    assert store.stamp() is not None
    store.close()


def test_a_calibrated_network_is_refused(model, data):
    network = Network(model, data[0], skip=())
    with pytest.raises(gx.ModelError, match="open the plain network"):
        open_target(resolve_target(network.refitted(data[0]), data=data), cache=False)


@pytest.mark.parametrize("kind", ["name", "bench", "module", "network", "target"])
def test_a_session_needs_no_explorer(kind, model, data, bench):
    given = {
        "name": ("digits", {}),
        "bench": (bench, {}),
        "module": (model, {"data": data}),
        "network": (Network(model, data[0]), {"data": data}),
        "target": (resolve_target(model, data=data), {}),
    }
    target, rest = given[kind]
    session = gx.Session(target, cache=False, **rest)
    assert isinstance(session, Session)
    session.controls.move_budget("macs", 0.6)
    assert session.summary.macs <= 0.6 * session.network.macs
    session.close()
    with pytest.raises(gx.ExplorerError, match="this explorer is closed"):
        session.evaluate()
