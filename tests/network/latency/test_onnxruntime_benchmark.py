"""The table of ONNX Runtime's times: its shape, not its numbers."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.network.latency import onnxruntime_benchmark, onnxruntime_profile
from gdws_explorer.network.latency.onnxruntime_benchmark import measure_with_onnxruntime
from gdws_explorer.network.network import Network

FAMILIES = ("gdws", "svd", "spatial", "tucker2")


@pytest.fixture(scope="module")
def net():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip
    return Network(model, torch.rand(1, 3, 8, 8))


def measured(net, **settings):
    given = {"batch": 1, "threads": 1, "families": FAMILIES, "points": 2, "pairs": 2, **settings}
    return measure_with_onnxruntime(net.model, net.example, net.layers, net.fingerprint, **given)


@pytest.fixture(scope="module")
def table(net):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime_benchmark, "ROUNDS", (1, 1))
        return measured(net, step=8)


def test_every_layer_and_family_is_timed(net, table):
    assert table.runtime == "onnxruntime"
    assert "onnxruntime" in table.machine
    assert list(table.layers) == ["0", "2", "6"]
    assert set(table.layers["2"].families) == set(FAMILIES)
    assert set(table.layers["6"].families) == {"svd"}


def test_ranks_are_multiples_of_the_step(table):
    for family, curve in table.layers["2"].families.items():
        assert curve.step == 8
        assert all(rank % 8 == 0 for axis in curve.ranks for rank in axis), family


def test_no_choice_is_slower_than_dense_and_more_ranks_are_never_faster(table):
    for layer in table.layers.values():
        for curve in layer.families.values():
            assert max(curve.ms) <= layer.dense
            assert list(curve.ms[: len(curve.ranks[-1])]) == sorted(
                curve.ms[: len(curve.ranks[-1])]
            )


def test_a_plan_and_a_budget_of_it(net, table):
    net.use_latencies(table)
    plan = net.budget(ms=table.network)
    assert table.total(plan) <= table.network + table.slack
    assert table.total(()) == pytest.approx(
        table.rest + sum(x.dense for x in table.layers.values())
    )


def test_cancelled_and_progress(net):
    seen = []
    with pytest.raises(Cancelled):
        measured(net, step=8, cancel=lambda: len(seen) > 1, progress=seen.append)
    assert seen == sorted(seen)


def test_the_step_is_the_least_whose_multiples_are_fast(net, monkeypatch):
    """A clock for which a product takes as long as the next multiple of 8 channels."""

    class Timer(onnxruntime_profile.GraphTimer):
        def node_times(self):
            runs = super().node_times()
            return [[node._replace(ms=self.ms(node.layer)) for node in run] for run in runs]

        def ms(self, layer):
            wide = {x.name.split("|")[0]: x for x in self.weights if x.name.split("|")[0] == layer}
            return 1.0 if not wide else float(-(-max(wide[layer].dims[0], 1) // 8) * 8)

        def __init__(self, graph, images, threads):
            import onnx

            self.weights = [
                x
                for x in onnx.load_from_string(graph.model).graph.initializer
                if x.name.endswith("|0|weight")
            ]
            super().__init__(graph, images, threads)

    monkeypatch.setattr(onnxruntime_profile, "GraphTimer", Timer)
    monkeypatch.setattr(onnxruntime_benchmark, "ROUNDS", (1, 1))
    found = measured(net, families=("svd",))
    assert found.layers["2"].families["svd"].step == 8
