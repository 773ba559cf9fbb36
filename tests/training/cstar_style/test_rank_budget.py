"""One budget for several layers, and the settings of their ranks."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Tucker2
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6),
        nn.Conv2d(6, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).eval()  # fmt: skip
    return Network(model, torch.rand(1, 3, 6, 6))


def test_the_parts_of_the_cost_are_the_networks(net):
    for measure, total in (("params", net.params), ("macs", net.macs)):
        budget = RankBudget.of(net, **{measure: 0.5})
        assert (budget.total, budget.limit) == (total, total // 2)
        layers = sum(getattr(layer, measure) for layer in budget.layers.values())
        assert budget.fixed_cost + layers == total == budget.cost({})
        choices = {"1": Tucker2(2, 2)}
        summary = net.summary(net.plan(choices))
        assert budget.cost(choices) == getattr(summary, measure)


def test_a_layer_is_exact_at_its_full_ranks(net):
    for family in ("tucker2", "gdws"):
        budget = RankBudget.of(net, family, ratio=2)
        choice = FAMILIES[family].choice(*budget.full_ranks("3"))
        summary = net.summary(net.plan({"3": choice}))
        assert summary.relative_error == pytest.approx(0, abs=1e-9)


def test_ratio_is_a_fraction_of_the_parameters(net):
    assert RankBudget.of(net, ratio=4).limit == RankBudget.of(net, params=0.25).limit


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "no budget given"),
        ({"ratio": 2, "macs": 0.5}, "exactly one of ratio, params and macs"),
        ({"ratio": 1}, "ratio is 1"),
        ({"ratio": "4"}, "ratio is 4"),
        ({"macs": 1.5}, "the MACs budget is 1.5"),
        ({"ratio": 2, "family": "svd"}, "family is 'svd'"),
        ({"ratio": 2, "skip": ["0", "1", "3"]}, "no layer of the network can become"),
    ],
)
def test_wrong_budgets_are_named(net, wrong, words):
    with pytest.raises(BudgetError, match=words):
        RankBudget.of(net, **wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"values": "cubed"}, "values is 'cubed'; expected one of raw, squared, relative"),
        ({"values": "raw", "pooled": False}, '"squared" or "relative"'),
        ({"floor": 0}, "floor is 0; expected a whole number from 1 up"),
        ({"sweeps": -1}, "sweeps is -1; expected a whole number from 0 up"),
    ],
)
def test_wrong_rules_are_named(wrong, words):
    with pytest.raises(BudgetError, match=words):
        RankRule(**wrong)
