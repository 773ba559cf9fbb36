"""Margin gradients against torch's own, one image and one class at a time."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled, DataError, ModelError, PlanError
from gdws_explorer.network.calibration.margins import (
    attack_images,
    convolutions_of,
    differentiable,
    frozen_copy,
    margin_gradients,
    sample_images,
)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 5, 3)
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.conv(x)))).mean((2, 3))


@pytest.fixture
def model():
    made = Small().eval()
    made.norm.running_mean.normal_()
    made.norm.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture
def x():
    return torch.rand(3, 3, 6, 6)


def expected(model, x, name, floor):
    """Gradients `(J, M, H, W)` of one image, by one backward pass per class."""
    outputs = []
    hook = model.get_submodule(name).register_forward_hook(lambda m, i, out: outputs.append(out))
    scores = model(x[None])[0]
    hook.remove()
    order = scores.argsort(descending=True)
    rows = []
    for j in order[1:]:
        margin = scores[order[0]] - scores[j]
        scaled = margin / (2**0.5 * max(floor, float(margin.detach())))
        rows.append(torch.autograd.grad(scaled, outputs[0], retain_graph=True)[0][0])
    return torch.stack(rows)


@pytest.mark.parametrize("memory", [1, 1 << 26])
@pytest.mark.parametrize("floor", [1e-3, 10.0])
def test_gradients_are_those_of_each_image(model, x, memory, floor):
    frozen = frozen_copy(model, x)
    layers = convolutions_of(frozen, None)
    found = {name: [] for name in ("conv", "last")}
    with differentiable():
        for activations in margin_gradients(frozen, x, layers, floor, memory=memory):
            assert set(activations) == {"conv", "last"}  # not the unused one
            for name, layer in activations.items():
                found[name] += layer.gradients[0]
                assert layer.positions == layer.outputs[0].shape[2:].numel()
    for name, rows in found.items():
        assert len(rows) == 4  # every class but the top one
        for i in range(len(x)):
            ours = torch.stack([row[i] for row in rows])
            torch.testing.assert_close(ours, expected(model, x[i], name, floor))


def test_a_frozen_copy_computes_the_same(model, x):
    frozen = frozen_copy(model, x)
    torch.testing.assert_close(frozen(x), model(x))
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not isinstance(frozen.norm, nn.BatchNorm2d)
    assert isinstance(model.norm, nn.BatchNorm2d)


def test_convolutions_by_name(model):
    assert list(convolutions_of(model, None)) == ["conv", "last", "unused"]
    assert convolutions_of(model, ["last"]) == {"last": model.last}
    with pytest.raises(PlanError, match=r"the network has no nn.Conv2d 'norm'; it has conv, last"):
        convolutions_of(model, ["norm"])


def test_a_sample_is_the_head_of_a_shuffle():
    x, y = torch.rand(9, 1, 2, 2), torch.arange(9)
    few, labels = sample_images((x, y), 4, seed=3)
    assert torch.equal(few, x[labels])
    more, also = sample_images((x, y), 6, seed=3)
    assert torch.equal(also[:4], labels)
    assert torch.equal(more[:4], few)
    assert sample_images((x, y), None, 0)[0] is x
    assert sample_images(x, 2, 0)[1] is None
    arrays = x.numpy().astype(">f4"), y.numpy().astype(">u2")
    assert all(map(torch.equal, sample_images(arrays, None, 0), (x, y)))


@pytest.mark.parametrize(
    ("data", "n", "words"),
    [
        (torch.rand(3, 4), None, "expected floating point"),
        (torch.rand(0, 1, 2, 2), None, "expected floating point"),
        (torch.zeros(3, 1, 2, 2).long(), None, "expected floating point"),
        ((torch.rand(3, 1, 2, 2), torch.zeros(2)), None, "2 labels for 3 images"),
        (torch.rand(3, 1, 2, 2), 0, "n is 0; expected a whole number from 1 to 3"),
        ((torch.rand(3, 1, 2, 2), 7), None, "no labels for 3 images"),
        ((torch.rand(3, 1, 2, 2), torch.eye(3)), None, "one-hot"),
    ],
)
def test_images_that_cannot_be_used(data, n, words):
    with pytest.raises(DataError, match=words):
        sample_images(data, n, 0)


class Shift:
    def bind(self, model):
        return lambda x, y: x + 0.1 * y[:, None, None, None] + 0.01 * torch.rand_like(x)


def test_attacked_images_do_not_depend_on_the_callers_random_state(model, x):
    y, parts = torch.tensor([0, 1, 2]), []
    frozen = frozen_copy(model, x)
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        parts.append(attack_images(frozen, x, y, Shift(), seed=5, progress=parts.append))
        assert torch.equal(torch.get_rng_state(), before)
    assert parts[0] == parts[2] == 1.0
    assert torch.equal(parts[1], parts[3])
    assert attack_images(frozen, x, y, None) is x
    own = attack_images(frozen, x, None, Shift(), seed=5)
    torch.testing.assert_close(own, attack_images(frozen, x, model(x).argmax(1), Shift(), seed=5))
    with pytest.raises(Cancelled):
        attack_images(frozen, x, y, Shift(), cancel=lambda: True)


def test_models_without_a_table_of_scores(x):
    for model in (nn.Conv2d(3, 2, 3), nn.Sequential(nn.Conv2d(3, 1, 6), nn.Flatten())):
        layers = convolutions_of(model, None)
        with differentiable(), pytest.raises(ModelError, match="does not return scores"):
            list(margin_gradients(model, x, layers, 0.1))
