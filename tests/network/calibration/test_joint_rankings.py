"""Joint rankings of a network's layers: their errors are those of the layers' outputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.joint_rankings import joint_rankings


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, padding=1)
        self.two = nn.Conv2d(6, 6, 3, padding=1)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=2)

    def forward(self, x):
        x = F.relu(self.two(F.relu(self.one(x))))
        return self.grouped(F.relu(self.two(x))).mean((2, 3))  # two is called twice


@pytest.fixture
def model():
    return Chain().eval()


@pytest.fixture
def x():
    return torch.rand(24, 3, 8, 8)


def test_the_errors_are_those_of_the_output(model, x):
    seen = []
    found = joint_rankings(model, x, ["one", "two", "grouped"], batch_size=10, progress=seen.append)
    assert list(found) == ["one", "two"]  # not the one with groups
    assert seen == [0.5, 1.0]
    with torch.no_grad():
        columns = patches(model.two, F.relu(model.one(x))).flatten(1, 2)  # of the first call
    for G in (5, 20):
        conv = found["two"].conv(G, model.two)
        lost = (model.two.weight - conv.dense().weight).detach().flatten(1)
        exact = float((lost @ columns).square().sum()) / len(x)
        assert found["two"].error[G] == pytest.approx(exact, rel=0.05)  # the ridge's share


def test_it_can_be_cancelled(model, x):
    with pytest.raises(Cancelled):
        joint_rankings(model, x, ["one"], cancel=lambda: True)
