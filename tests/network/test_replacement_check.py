"""Layers that a model uses otherwise than by calling them stay dense, with the reason."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.replacement_check import CallRecorder, unreplaceable


class Net(nn.Module):
    def __init__(self, read):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc, self.out, self.read = nn.Linear(8 * 36, 8), nn.Linear(8, 5), read
        self.plain_list = [self.b]

    def forward(self, x):
        x = self.read(self, F.relu(self.a(x)))
        x = F.relu(self.plain_list[0](x)).reshape(len(x), -1)
        return self.out(F.relu(self.fc(x)))


READS = {
    "weight": lambda net, x: x.to(net.b.weight.dtype),
    "kernel_size": lambda net, x: x * (net.b.kernel_size[0] // 3),
    "stride": lambda net, x: x[:, :, :: net.b.stride[0]],
    "out_channels": lambda net, x: x[:, : net.b.out_channels],
    "in_features": lambda net, x: x.reshape(-1, net.fc.in_features).reshape(x.shape),
    "bias": lambda net, x: x if hasattr(net.b, "bias") else x + 1,
}


@pytest.fixture
def x():
    return torch.rand(2, 3, 6, 6)


@pytest.mark.parametrize("attribute", READS)
def test_a_layer_whose_attribute_is_read_stays_dense(attribute, x):
    net = Network(Net(READS[attribute]).eval(), x)
    layer = "fc" if attribute == "in_features" else "b"
    assert layer not in net.names
    assert set(net.names) == {"a", "b", "fc", "out"} - {layer}
    (reason,) = set(net.layer(layer).reasons.values())
    assert f"reads its attribute '{attribute}'" in reason or "read outside" in reason


@pytest.mark.parametrize("attribute", READS)
def test_every_offered_layer_at_full_rank_computes_the_same(attribute, x):
    model = Net(READS[attribute]).eval()
    net = Network(model, x)
    for name, family in FAMILIES.items():
        able = [n for n in net.names if name in net.layer(n).families]
        full = {n: family.choice(*map(int, family.most(net.spectrum(n, name)))) for n in able}
        with torch.no_grad():
            built = net.build(net.plan(full))(x)
            torch.testing.assert_close(built, model(x), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "read",
    [
        lambda net, x: x * (2 if isinstance(net.b, nn.Conv2d) else 3),
        lambda net, x: x if type(net.b) is nn.Conv2d else x[:, :4],
        lambda net, x: x * sum(type(m) is nn.Conv2d for m in [net.b]),
    ],
)
def test_a_layer_whose_class_is_asked_for_stays_dense(read, x):
    net = Network(Net(read).eval(), x)
    assert set(net.names) == {"a", "fc", "out"}
    assert "class check" in next(iter(net.layer("b").reasons.values()))


def test_weights_in_a_list_are_read_too(x):
    class Stacks(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            x = F.relu(self.c(self.b(F.relu(self.a(x)))))
            shared = torch.stack([self.b.weight, self.c.weight]).mean(0)
            return self.fc(F.conv2d(x, shared).mean((2, 3)))

    assert set(Network(Stacks().eval(), x).names) == {"a", "fc"}


def test_ordinary_networks_are_offered_whole(x):
    net = Network(Net(lambda _net, x: x).eval(), x)
    assert set(net.names) == {"a", "b", "fc", "out"}


def test_a_random_network_is_compared_with_the_same_random_numbers(x):
    net = Network(Net(lambda _net, x: x + torch.rand_like(x)).eval(), x)
    assert set(net.names) == {"a", "b", "fc", "out"}


def test_the_model_is_left_as_it_was(x):
    model = Net(READS["stride"]).eval()
    handle = model.b.register_forward_hook(lambda *_: None)
    before = {
        name: (type(m), id(m.__dict__), dict(m.__dict__)) for name, m in model.named_modules()
    }
    layers = {"b": model.b, "fc": model.fc}
    for expected in (model(x), torch.zeros(3)):
        unreplaceable(model, x, expected, layers)
        for name, module in model.named_modules():
            kind, identity, contents = before[name]
            assert (type(module), id(module.__dict__)) == (kind, identity)
            assert all(module.__dict__[key] is value for key, value in contents.items())
    handle.remove()


def test_a_complex_convolution_stays_dense_and_blocks_no_budget(x):
    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.c = nn.Conv2d(8, 8, 3, padding=1, dtype=torch.complex64)
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            x = torch.fft.ifft2(self.c(torch.fft.fft2(F.relu(self.a(x))))).real
            return self.fc(self.b(x).mean((2, 3)))

    net = Network(Fourier().eval(), x)
    assert "c" not in net.names
    assert "complex64" in next(iter(net.layer("c").reasons.values()))
    assert net.build(net.budget(macs=0.9))(x).shape == (2, 5)


def test_reads_that_depend_on_chance_do_not_break_it(x):
    draw = random.Random(0)
    model = Net(lambda net, x: x * draw.random())  # not torch's generator: no run is like another
    assert isinstance(Network(model.eval(), x).names, tuple)


# -- the calls of the first pass ------------------------------------------------------------------


def recorded(model, x, layers):
    """The output, and a recorder of the layers' calls."""
    recorder = CallRecorder()
    hooks = [
        layer.register_forward_hook(lambda _m, i, out, name=name: recorder.add(name, i[0], out))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        expected = model(x)
    for hook in hooks:
        hook.remove()
    return expected, recorder


def computed(model, x, layers, expected, recorder):
    """The layers that the check calls, and what it finds."""
    calls = []
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    found = unreplaceable(model, x, expected, layers, recorder)
    return calls, found


@pytest.mark.parametrize("inplace", [False, True])
def test_the_check_computes_only_what_changed_since_the_first_pass(x, inplace):
    model = Net(lambda net, x: F.relu(net.b(x), inplace=inplace)).eval()
    layers = {"a": model.a, "b": model.b, "fc": model.fc}
    expected, recorder = recorded(model, x, layers)
    calls, found = computed(model, x, layers, expected, recorder)
    assert found == {}
    assert calls == (["b"] if inplace else [])  # its first output is no longer there


def test_a_change_that_torch_does_not_see_is_no_class_check(x):
    def read(net, x):
        y = net.b(x)
        y.data.mul_(2)  # no version is raised
        return y

    model = Net(read).eval()
    layers = {"a": model.a, "b": model.b, "fc": model.fc}
    assert unreplaceable(model, x, *recorded(model, x, layers)[:1], layers) == {}
    expected, recorder = recorded(model, x, layers)
    assert unreplaceable(model, x, expected, layers, recorder) == {}


def test_calls_beyond_the_bound_are_computed_again(x, monkeypatch):
    model = Net(lambda _net, x: x).eval()
    layers = {"a": model.a, "b": model.b, "fc": model.fc}
    monkeypatch.setattr("gdws_explorer.network.replacement_check.MOST_BYTES", 4000)
    expected, recorder = recorded(model, x, layers)
    calls, found = computed(model, x, layers, expected, recorder)
    assert found == {}
    assert calls == ["b", "fc"]


def test_tensors_of_inference_mode_are_not_kept(x):
    class Inference(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)

        def forward(self, x):
            with torch.inference_mode():
                return self.b(F.relu(self.a(x))).mean((2, 3))

    assert set(Network(Inference().eval(), x).names) == {"a", "b"}
