"""Weights in a safetensors file: what is stored, and what is checked when they are loaded."""

from __future__ import annotations

import json

import pytest
import safetensors
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.bundle import weights
from gdws_explorer.network.surgery import apply_structure, densify


@pytest.fixture
def file(case, tmp_path):
    weights.save(case.small, case.plan, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_the_file_holds_all_tensors_the_plan_and_the_logits_of_one_image(case, file):
    with safetensors.safe_open(file, "pt") as opened:
        assert set(opened.keys()) == set(case.small.state_dict())
        metadata = opened.metadata()
    assert metadata["plan"] == case.plan.hash
    assert metadata["fingerprint"] == case.plan.fingerprint
    images = weights.random_images(case.plan, 1)
    assert json.loads(metadata["probe"]) == case.small(images).flatten().tolist()


def test_saved_weights_load_into_the_same_structure(case, file):
    empty = apply_structure(densify(case.small), case.plan).eval()
    weights.load(empty, case.plan, file)
    for name, tensor in case.small.state_dict().items():
        assert torch.equal(empty.state_dict()[name], tensor)


def test_the_digest_depends_on_names_types_and_values_but_not_on_order(case):
    state = case.small.state_dict()
    mine = weights.digest(state)
    assert weights.digest(dict(reversed(state.items()))) == mine
    assert weights.digest({f"{name}x": tensor for name, tensor in state.items()}) != mine
    assert weights.digest({name: tensor.double() for name, tensor in state.items()}) != mine


def test_random_images_are_the_same_for_the_same_seed(case):
    images = weights.random_images(case.plan, 3)
    assert images.shape == (3, *case.plan.input_shape)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert torch.equal(images, weights.random_images(case.plan, 3))
    assert not torch.equal(images, weights.random_images(case.plan, 3, seed=1))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Pair(), "returns a tuple; expected one tensor of logits"),
        (nn.Linear(7, 2), "does not take images of shape"),
        (nn.Threshold(2.0, float("nan")), "NaN or infinite"),
    ],
)
def test_logits_are_one_finite_tensor(network, says):
    with pytest.raises(gx.ModelError, match=says):
        weights.logits(network, torch.rand(1, 3))


def test_the_largest_difference():
    assert weights.max_abs_difference(torch.tensor([1.0, -2.0]), torch.tensor([1.5, 1.0])) == 3.0
