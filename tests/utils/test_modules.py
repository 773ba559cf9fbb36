"""Copies of models, and their layout in memory."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.modules import (
    deep_copy,
    no_parameter_grads,
    own_copy,
    preserve_modes,
    set_requires_grad,
    use_channels_last,
)


class Flattens(nn.Module):
    """A convolution whose output is flattened by `view` or by `reshape`."""

    def __init__(self, method):
        super().__init__()
        self.conv, self.fc, self.method = nn.Conv2d(3, 4, 3), nn.Linear(64, 5), method

    def forward(self, x):
        x = self.conv(x)
        return self.fc(getattr(x, self.method)(len(x), -1))


@pytest.mark.parametrize(("method", "works"), [("reshape", True), ("view", False)])
def test_the_layout_is_taken_only_where_the_model_works_with_it(method, works):
    model, x = Flattens(method).eval(), torch.rand(2, 3, 6, 6)
    expected = model(x)
    state = torch.get_rng_state()
    assert use_channels_last(model, x) is works
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last) is works
    torch.testing.assert_close(model(x), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_is_frozen_or_trainable(net, trace, same):
    before = trace(net)
    frozen, trained = own_copy(net), own_copy(net, trainable=True)
    assert not any(module.training for module in frozen.modules())
    assert not any(p.requires_grad for p in frozen.parameters())
    assert {n: m.training for n, m in trained.named_modules()} == before[1]
    assert same(trace(net), before)


def test_models_that_cannot_be_copied():
    with pytest.raises(ModelError, match=r"a dict; expected a torch\.nn\.Module"):
        own_copy({})
    broken = nn.Linear(2, 2)
    broken.weight.data[0, 0] = float("nan")
    assert own_copy(broken) is not None
    with pytest.raises(ModelError, match="weight holds NaN"):
        own_copy(broken, trainable=True)


def test_blocks_leave_a_model_as_it_was(net, trace, same):
    before = trace(net)
    with preserve_modes(net), no_parameter_grads(net):
        net.eval()
        assert not any(p.requires_grad for p in net.parameters())
    assert same(trace(net), before)


def test_weights_that_are_not_finite_and_copies_that_fail_are_named(net):
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = float("nan")
    own_copy(net)
    with pytest.raises(ModelError, match=r"0\.weight holds NaN or infinite values"):
        own_copy(net, trainable=True)

    class Stubborn(nn.Module):
        def __deepcopy__(self, memo):
            raise RuntimeError("not me.\nand more")

    with pytest.raises(ModelError, match=r"cannot be copied \(not me\)"):
        own_copy(Stubborn())


def test_computed_weights_are_copied(net):
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    net(torch.rand(2, 1, 8, 8))
    mine = deep_copy(net)
    assert torch.equal(mine[0].weight, net[0].weight)
    assert mine[0].weight_orig is not net[0].weight_orig


# -- models whose copy would be none -----------------------------------------------------------


class Pair(nn.Module):
    """A network that answers with its scores and its features."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x):
        features = self.bn(self.conv(x)).mean((2, 3))
        return self.fc(features), features


MODEL = Pair()  # whose method a patched forward finds among the globals
OLD = MODEL.forward


def closure(model):
    old = model.forward
    model.forward = lambda x: old(x)[0]


def default(model):
    model.forward = lambda x, old=model.forward: old(x)[0]


def nested(model):
    def first(x):
        return model.conv(x)

    model.forward = lambda x: model.fc(first(x).mean((2, 3)))


@pytest.mark.parametrize("patch", [closure, default, nested])
def test_a_patched_forward_is_refused(patch):
    model = Pair().train()
    patch(model)
    with pytest.raises(ModelError, match="`forward` that calls the original model"):
        own_copy(model)
    assert model.training


def test_a_patched_forward_over_globals_is_refused(monkeypatch):
    monkeypatch.setattr(MODEL, "forward", lambda x: OLD(x)[0])
    with pytest.raises(ModelError, match="`forward` that calls the original model"):
        own_copy(MODEL)


def test_functions_that_need_no_module_are_copied():
    model = Pair()
    model.scale = lambda x: 2 * torch.relu(x)
    model.again = model.conv.forward  # a bound method is copied with its module
    copied = own_copy(model)
    assert copied.again.__self__ is copied.conv


def test_a_compiled_model_is_copied_without_its_code():
    model = Pair()
    copied = own_copy(torch.compile(model))
    assert type(copied) is Pair
    assert copied is not model


@pytest.mark.parametrize("kind", ["scripted", "part"])
def test_torchscript_is_named(kind):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    if kind == "scripted":
        model = torch.jit.script(model)
    else:
        model[0] = torch.jit.script(model[0])
    with pytest.raises(ModelError, match="TorchScript"):
        own_copy(model)


def test_weights_that_were_never_loaded_are_named():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ModelError, match=r"0\.weight is on the meta device"):
        own_copy(model)


def test_integer_parameters_need_no_gradient():
    model = nn.Linear(2, 2)
    model.order = nn.Parameter(torch.arange(3), requires_grad=False)
    set_requires_grad(own_copy(model), True)
    assert own_copy(model, trainable=True).order.dtype == torch.int64


def test_other_entries_of_a_state_dict_are_left_alone():
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"calls": 3}

        def set_extra_state(self, state):
            self.state = state

    assert isinstance(own_copy(Extra(2, 2), trainable=True), Extra)


def test_a_3d_convolution_has_no_such_layout():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Unflatten(1, (4, 1)), nn.Conv3d(4, 2, 1)).eval()
    x = torch.rand(2, 3, 6, 6)
    assert not use_channels_last(model, x)
    assert model(x).shape == (2, 2, 1, 4, 4)
