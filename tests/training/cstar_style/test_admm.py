"""ADMM's history and state; test_cstar_training compares its updates with the equations."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Dense
from gdws_explorer.training.callbacks import EpochInfo
from gdws_explorer.training.cstar_style.admm import Admm
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()  # fmt: skip


@pytest.fixture
def admm():
    budget = RankBudget.of(Network(model(), torch.rand(1, 1, 8, 8)), ratio=3)
    return Admm(model(), budget, RankRule(), [0.1, 0.2])


def after(admm, net, number):
    admm.after_epoch(EpochInfo(number, 2, net, net, None))


def test_the_history_has_a_row_per_projection(admm):
    for number in (1, 2):
        after(admm, model(), number)
    rounds = admm.rounds
    layers = len(rounds.names)
    assert rounds.ranks.shape == (3, layers, 2)
    assert rounds.residual.shape == (3, layers)
    assert rounds.rho.tolist() == [0.0, 0.1, 0.2]
    assert (rounds.cost <= admm.rounds.cost.max()).all()
    assert rounds.full.shape == (layers, 2)
    raw = json.loads(json.dumps(rounds.to_dict()))
    assert np.array_equal(raw["ranks"], rounds.ranks)


def test_at_the_start_the_penalty_is_the_distance_to_the_projection(admm):
    net = model()
    apart = 0.0
    rounds = admm.rounds
    for name, residual in zip(rounds.names, rounds.residual[0], strict=True):
        if admm.choices[name] != Dense():
            apart += float((residual * net.get_submodule(name).weight.detach().norm()) ** 2)
    assert float(admm.penalty(net).detach()) == pytest.approx(0.1 / 2 * apart, rel=1e-4)


def test_capture_and_restore_have_the_names_of_the_checkpoint(admm):
    tensors = admm.capture()
    layers = admm.rounds.names
    assert tensors.keys() == {
        "ranks", "residual", "cost", *(f"dual.{n}" for n in layers),
        *(f"target.{n}" for n in layers),
    }  # fmt: skip
    penalty = float(admm.penalty(model()).detach())
    after(admm, model(), 1)
    admm.restore(tensors)
    assert float(admm.penalty(model()).detach()) == penalty
