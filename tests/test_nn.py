"""The page of factorised layers: `gx.nn`."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx

WHOLE = {  # the exact approximation of a layer, made by each class
    "GDWSConv2d": lambda layer: gx.nn.GDWSConv2d.from_conv(layer, G=4 * 6),
    "Tucker2Conv2d": lambda layer: gx.nn.Tucker2Conv2d.from_conv(layer, 6, 4),
    "SVDConv2d": lambda layer: gx.nn.SVDConv2d.from_conv(layer, 6),
    "SpatialSVDConv2d": lambda layer: gx.nn.SpatialSVDConv2d.from_conv(layer, 12),
}


@pytest.mark.parametrize("name", gx.nn.__all__)
def test_every_name_is_a_module_class(name):
    assert issubclass(getattr(gx.nn, name), nn.Module)
    assert getattr(gx.nn, name).__doc__


@pytest.mark.parametrize("name", WHOLE)
def test_at_full_rank_a_layer_and_its_dense_form_are_the_convolution(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv, images = nn.Conv2d(4, 6, 3, padding=1), torch.rand(2, 4, 5, 5)
    layer = WHOLE[name](conv)
    assert type(layer).__name__ == name
    for same in (layer, layer.dense()):
        torch.testing.assert_close(same(images), conv(images), rtol=1e-4, atol=1e-5)
