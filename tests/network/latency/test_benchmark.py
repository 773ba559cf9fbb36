"""What is measured, with a clock that counts MACs instead of seconds."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled, DataError, PlanError
from gdws_explorer.network.latency import benchmark
from gdws_explorer.network.latency.benchmark import measure_layers


@pytest.fixture
def net():
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1))
    return gx.Network(model, torch.rand(1, 3, 8, 8))


@pytest.fixture(autouse=True)
def _macs_as_milliseconds(monkeypatch):
    def count(module, inputs):
        with FlopCounterMode(display=False) as counter:
            for x in inputs:
                module(x)
        return counter.get_total_flops() / 2000

    monkeypatch.setattr(benchmark, "_ms", count)


def measured(net, **settings):
    return measure_layers(
        net.model, net.example, net.layers, net.fingerprint, **{"repeats": 1, **settings}
    )


def test_families_by_name_and_by_class(net):
    named = measured(net, families=["svd", "spatial"])
    assert measured(net, families=(gx.SVD, "spatial_svd")) == named
    assert set(named.layers["0"].families) == {"svd", "spatial"}
    assert named.ms("2", gx.SVD, 4) == named.ms("2", "svd", 4)
    assert named.ms("2", "spatial_svd", 4) == named.ms("2", gx.SpatialSVD, 4)
    with pytest.raises(PlanError, match="expected a collection of families"):
        measured(net, families="svd")


def test_more_images_take_more_time(net):
    one, two = measured(net, families=["svd"]), measured(net, families=["svd"], batch=2)
    assert two.batch == 2
    assert two.network == 2 * one.network


def test_progress_rises_to_one_and_threads_come_back(net):
    seen, before = [], torch.get_num_threads()
    found = measured(net, families=["svd"], threads=2, progress=seen.append)
    assert found.threads == 2
    assert torch.get_num_threads() == before
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert measured(net, families=["svd"], threads=None).threads == before


def test_the_random_state_and_the_model_stay(net):
    state = torch.get_rng_state()
    weights = {n: t.clone() for n, t in net.model.state_dict().items()}
    measured(net)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[n], t) for n, t in net.model.state_dict().items())


def test_settings_that_cannot_be_used(net):
    for name, value in {"batch": 0, "threads": True, "points": 1, "pairs": 1, "step": 0}.items():
        with pytest.raises(DataError, match=f"{name} is {value}"):
            measured(net, **{name: value})
    with pytest.raises(Cancelled):
        measured(net, cancel=lambda: True)
