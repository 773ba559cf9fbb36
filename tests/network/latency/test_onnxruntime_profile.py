"""Which node belongs to which layer, in ONNX Runtime's optimised graph."""

from collections import Counter

import pytest
import torch
from torch import nn

from gdws_explorer.errors import ModelError
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.latency.onnx_graph import OnnxGraph
from gdws_explorer.network.latency.onnxruntime_profile import (
    GraphTimer,
    NodeTime,
    TurnTimer,
    layer_ms,
    middle_mean,
    node_overhead,
    plain_ms,
    session_of,
    warm_runs,
)


class Block(nn.Module):
    """The sum of two convolutions and the ReLU after it are computed with one of the two."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.one = nn.Conv2d(16, 16, 3, padding=1)
        self.two = nn.Conv2d(16, 32, 3, padding=1)
        self.short = nn.Conv2d(16, 32, 1)
        self.fc = nn.Linear(32, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(self.two(torch.relu(self.one(x))) + self.short(x))
        return self.fc(x.mean((2, 3)))


NAMES = ("stem", "one", "two", "short", "fc")


@pytest.fixture(scope="module")
def graph():
    return OnnxGraph(Block().eval(), torch.rand(1, 3, 8, 8), NAMES)


def owners(graph, modules, runs=2):
    images = torch.rand(1, 3, 8, 8).numpy()
    with GraphTimer(graph.exchanged(modules), images, 1) as timer:
        for _ in range(runs):
            timer.run()
        found = timer.node_times()
    assert len(found) == timer.runs == runs
    assert all(node.ms >= 0 for node in found[0])
    return found


def test_every_layer_has_its_nodes(graph):
    (first, second) = owners(graph, {})
    assert [node.layer for node in first] == [node.layer for node in second]
    assert {node.layer for node in first} >= set(NAMES)


def test_a_gather_and_its_conversions_belong_to_the_layer(graph):
    dense = Counter(node.layer for node in owners(graph, {})[0])
    gdws = GDWSConv2d.from_conv(nn.Conv2d(16, 16, 3, padding=1), 32)
    found = Counter(node.layer for node in owners(graph, {"one": gdws})[0])
    assert found["one"] >= 3  # Gather, depthwise, pointwise
    assert {name: found[name] for name in NAMES if name != "one"} == {
        name: dense[name] for name in NAMES if name != "one"
    }


def test_the_first_run_of_a_block_does_not_count():
    runs = [[NodeTime("a", float(k)), NodeTime(None, 100.0)] for k in range(8)]
    assert [run[0].ms for run in warm_runs(runs)] == [1, 2, 3, 5, 6, 7]
    assert layer_ms(warm_runs(runs), "a") == pytest.approx(4.0)
    assert layer_ms(warm_runs(runs), "a", overhead=0.5) == pytest.approx(4.5)


def test_the_middle_mean_ignores_the_ends():
    assert middle_mean([1000.0, 2.0, 3.0, -1000.0]) == 2.5
    assert middle_mean([7.0]) == 7.0


def test_plain_runs_and_the_processors_share(graph):
    times, share = plain_ms(
        session_of(graph.exchanged({}).model, 1), torch.rand(1, 3, 8, 8).numpy(), 3
    )
    assert times.shape == (3,)
    assert (times > 0).all()
    assert share > 0


def test_a_model_that_the_runtime_refuses():
    with pytest.raises(ModelError, match="ONNX Runtime refuses the network"):
        session_of(b"nothing", 1)


def test_the_profilers_own_time_per_node_is_found():
    exact = [(n, float(n), 0.75 * n) for n in (3, 9, 20)]
    assert node_overhead(exact) == pytest.approx(-0.25)


def test_graphs_are_timed_in_turns_with_the_dense_one(graph):
    gdws = GDWSConv2d.from_conv(nn.Conv2d(16, 16, 3, padding=1), 32)
    images = torch.rand(1, 3, 8, 8).numpy()
    with TurnTimer(graph.exchanged({}), images, 1) as timer:
        found = [timer.time(graph.exchanged(each), 2) for each in ({}, {"one": gdws})]
        corrections = timer.corrections(found)
    assert [each.turns for each in found] == [slice(0, 8), slice(8, 16)]
    assert [len(each.runs) for each in found] == [8, 8]
    assert len(corrections.dense) == 12  # the first of every block does not count
    assert len(corrections.drifts) == 2
    assert len(timer.plain_ms) == 6
    assert min(each.whole for each in found) > 0
