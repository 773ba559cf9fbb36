"""The fastest form is the one with the least measured time, and its outputs are equal."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.network.latency.fastest_forms import fastest_forms
from gdws_explorer.network.network import Network


@pytest.fixture(scope="module")
def case():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    net = Network(model, torch.rand(1, 3, 8, 8), skip=())
    plan = net.mego(0.5)
    return net.build(plan), net.example


def test_the_least_time_is_chosen_and_outputs_are_equal(case):
    small, example = case
    before = {name: value.clone() for name, value in small.state_dict().items()}
    found = fastest_forms(small, example, batch=2)
    assert found.layers
    for times in found.layers.values():
        assert times.ms[times.form] == min(times.ms.values())
        assert {"as built", "dense"} <= set(times.ms)
    images = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(found.model(images), small(images), atol=1e-5, rtol=1e-4)
    assert found.spread[0] <= found.ms <= found.spread[1]
    assert min(found.dense_ms, found.as_built_ms, found.processor_share) > 0
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())


def test_cancelled(case):
    with pytest.raises(Cancelled):
        fastest_forms(*case, cancel=lambda: True)
