import torch
from torch import nn

from gdws_explorer.network.weight_reads import WeightReadTracker


def test_reads_inside_and_outside_of_a_layer():
    layers = {"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "c": nn.Linear(3, 3, bias=False)}
    x = torch.ones(1, 3)
    tracker = WeightReadTracker(layers)
    with tracker:
        for name, layer in layers.items():
            tracker.enter(name)
            layer(x)
            tracker.leave(name)
        assert tracker.elsewhere == frozenset()
        _ = layers["a"].weight.shape, layers["a"].weight.dtype  # reads no number
        assert tracker.elsewhere == frozenset()
        x @ layers["b"].weight
        tracker.enter("c")
        layers["a"].bias + 1  # inside of another layer
        tracker.leave("c")
    assert tracker.elsewhere == {"a", "b"}
    x @ layers["c"].weight  # after the context
    assert tracker.elsewhere == {"a", "b"}


def test_calls_within_calls():
    tracker = WeightReadTracker({"a": (layer := nn.Linear(2, 2))})
    with tracker:
        tracker.enter("a")
        tracker.enter("a")
        tracker.leave("a")
        layer.weight + 0
        assert not tracker.elsewhere
        tracker.leave("a")
        layer.weight + 0
    assert tracker.elsewhere == {"a"}
