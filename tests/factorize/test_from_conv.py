"""Layers made directly from a convolution, and what repr shows of them."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, ModelError
from gdws_explorer.factorize import gdws, svd, tucker


@pytest.fixture
def conv():
    return nn.Conv2d(6, 8, 3, stride=2, padding=1)


def made_of(conv):
    return {
        "GDWSConv2d(\n  6, 8, G=20": (
            gdws.GDWSConv2d.from_conv(conv, 20),
            (s := gdws.spectrum(conv)).conv(s.mego(20)),
        ),
        "Tucker2Conv2d(\n  r_out=4, r_in=3": (
            tucker.Tucker2Conv2d.from_conv(conv, r_out=4, r_in=3),
            tucker.spectrum(conv).conv(4, 3),
        ),
        "SVDConv2d(\n  rank=5": (
            svd.SVDConv2d.from_conv(conv, 5),
            svd.spectrum(conv).conv(5),
        ),
        "SpatialSVDConv2d(\n  rank=7": (
            svd.SpatialSVDConv2d.from_conv(conv, rank=7),
            svd.spatial_spectrum(conv).conv(7),
        ),
    }


def test_it_is_the_layer_of_the_spectrum(conv):
    x = torch.randn(2, 6, 9, 9)
    for text, (made, same) in made_of(conv).items():
        assert repr(made).startswith(text)
        assert type(made) is type(same)
        torch.testing.assert_close(made(x), same(x), rtol=0, atol=0)
        torch.testing.assert_close(made(x), made.dense()(x))
        torch.testing.assert_close(made(input=x), made(x))  # as nn.Conv2d takes it


def test_a_linear_layer_and_groups():
    linear, x = nn.Linear(7, 5), torch.randn(3, 7)
    made = svd.SVDLinear.from_linear(linear, 5)
    torch.testing.assert_close(made(x), linear(x))
    assert repr(made).startswith("SVDLinear(\n  rank=5")
    grouped = nn.Conv2d(4, 8, 3, groups=2)
    made = svd.SVDConv2d.from_conv(grouped, 3)
    assert repr(made).startswith("SVDConv2d(\n  rank=3")
    assert made.first.out_channels == 6


def test_the_weights_of_alpha(conv):
    alpha = torch.tensor([1.0, 1, 1, 1, 1, 1e6])
    assert gdws.GDWSConv2d.from_conv(conv, 8, alpha).counts[-1] == 8


def test_what_cannot_be_used(conv):
    with pytest.raises(BudgetError, match="G is 0"):
        gdws.GDWSConv2d.from_conv(conv, 0)
    with pytest.raises(BudgetError, match="r_in is 7"):
        tucker.Tucker2Conv2d.from_conv(conv, 1, 7)
    with pytest.raises(BudgetError, match="rank is 99"):
        svd.SVDConv2d.from_conv(conv, 99)
    with pytest.raises(ModelError, match="groups=2"):
        gdws.GDWSConv2d.from_conv(nn.Conv2d(4, 4, 3, groups=2), 4)
