"""Layers exchanged in an ONNX graph compute what the exchanged torch network computes."""

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.latency.onnx_graph import OnnxGraph
from gdws_explorer.network.latency.onnxruntime_profile import session_of
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.families import FACTORISED


class Residual(nn.Module):
    """Folded and unfolded BatchNorm, a sum, a layer called twice, odd paddings, two matrices."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding="same")
        self.circular = nn.Conv2d(8, 8, 3, 2, 1, padding_mode="circular", bias=False)
        self.short = nn.Conv2d(8, 8, 1, 2)
        self.hidden = nn.Linear(8, 12, bias=False)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.bn(self.first(x)))
        x = self.twice(torch.relu(self.twice(x)))
        x = torch.relu(self.circular(x) + self.short(x))
        return self.fc(torch.relu(self.hidden(x.mean((2, 3)))))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = Residual().eval()
    model.bn.running_mean.normal_()
    return Network(model, torch.randn(1, 3, 9, 8))


@pytest.fixture(scope="module")
def graph(net):
    return OnnxGraph(net.model, net.example, net.names)


def test_all_layers_are_found(net, graph):
    assert graph.names == set(net.names)


@pytest.mark.parametrize("family", ["gdws", "tucker2", "svd", "spatial"])
def test_exchanged_layers_compute_the_same(net, graph, family):
    plan = net.budget(macs=0.7, families=[family])
    small = net.build(plan)
    modules = {n: m for n, m in small.named_modules() if isinstance(m, FACTORISED)}
    assert modules
    images = torch.randn(2, 3, 9, 8)
    session = session_of(graph.exchanged(modules).model, 1)
    found = session.run(None, {"images": images.numpy()})[0]
    np.testing.assert_allclose(found, small(images).detach().numpy(), atol=1e-4)


def test_the_graph_itself_stays(net, graph):
    images = net.example.repeat(2, 1, 1, 1)
    graph.exchanged({"fc": nn.Linear(12, 5)})
    found = session_of(graph.exchanged({}).model, 1).run(None, {"images": images.numpy()})[0]
    np.testing.assert_allclose(found, net.model(images).detach().numpy(), atol=1e-5)


def test_products_are_named_in_the_order_of_the_graph(graph):
    layers = [layer for layer, _ in graph.exchanged({}).products]
    assert sorted(layers) == sorted(
        ["first", "twice", "twice", "circular", "short", "hidden", "fc"]
    )


def test_a_network_that_onnx_cannot_express():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(ExplorerError, match="cannot write this network as ONNX"):
        OnnxGraph(Odd(), torch.rand(1, 3, 4, 4), [])
