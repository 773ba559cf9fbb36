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
