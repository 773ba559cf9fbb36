"""Results of fine-tuning; test_cstar_training trains plans of every family."""

import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.training.finetuning import as_network, finetune
from gdws_explorer.training.recipe import Recipe

RECIPE = Recipe(epochs=2, lr=0.02, batch_size=16)


@pytest.fixture
def network(data):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip
    return Network(model, data[0][:1])


def test_the_result_is_a_plan_of_the_same_network(network, data):
    plan, steps = network.plan({"2": GDWS(9)}), []
    found = finetune(network, plan, data, RECIPE, progress=steps.append)
    assert found.parent == plan.hash
    assert found.plan.fingerprint == network.fingerprint
    assert (found.rounds, found.low_rank, found.best, len(found.entries)) == (None, (), 2, 2)
    assert (steps[-1], steps[-1].detail.epoch) == (1.0, 2)
    with torch.no_grad():
        again = found.network.build(found.plan)(data[0])
        torch.testing.assert_close(again, found.model(data[0]), atol=1e-4, rtol=1e-3)
    assert sum(found.model.get_submodule("2").counts) == 9


def test_a_model_becomes_a_network(network, data):
    assert as_network(network, data) is network
    made = as_network(network.model, data)
    assert made.fingerprint == network.fingerprint
    assert torch.equal(made.example, data[0][:1])


def test_what_cannot_be_trained(network, data):
    other = replace(network.plan(), fingerprint="0" * 64)
    with pytest.raises(PlanError):
        finetune(network, other, data, RECIPE)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        finetune(network, network.plan(), data, RECIPE, cancel=stop)
