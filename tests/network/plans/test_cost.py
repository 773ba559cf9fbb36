"""Costs by formula against torch's own count of built layers."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.network.plans.cost import INDEX_BYTES, LayerSummary, break_even, cost, gdws_cost

CHOICES = [gx.Dense(), gx.GDWS(9), gx.Tucker2(3, 2), gx.SVD(4), gx.SpatialSVD(5)]


@pytest.fixture
def net():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(150, 3))
    return gx.Network(model, torch.zeros(1, 4, 9, 9), skip=())


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_macs_params_and_bytes_of_a_built_layer(net, choice, flops):
    layer = net.layer("0")
    made = net.build(net.plan({"0": choice})).get_submodule("0")
    found = cost(layer, choice)
    assert found.macs == flops(made, net.example)
    assert found.params == sum(p.numel() for p in made.parameters())
    stored = sum(t.numel() * t.element_size() for t in made.state_dict().values())
    assert found.bytes == stored
    assert stored - 4 * found.params == (9 * INDEX_BYTES if isinstance(choice, gx.GDWS) else 0)


def test_break_even_is_the_last_cheaper_number(net):
    layer = net.layer("0")
    kernels = break_even(layer)
    assert gdws_cost(layer, kernels).macs < layer.macs <= gdws_cost(layer, kernels + 1).macs


def test_a_layer_larger_than_dense(net):
    plan = net.plan({"0": gx.GDWS(break_even(net.layer("0")) + 1)})
    assert net.summary(plan).layers["0"].larger
    assert not net.summary(net.plan()).layers["0"].larger
    assert LayerSummary(gx.SVD(1), 5, 7, 1, 0.0, 6, 6, 1, 1.0).larger
