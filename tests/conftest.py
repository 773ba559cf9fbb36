"""What every test shares: no test needs a network, a GPU or more than the machine's cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before hypothesis, torch or Jupyter look at them.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import torch
from torch import nn

from gdws_explorer.bench import load

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def bench():
    """The bundled digits: a network, its images and its records. Nobody changes them."""
    return load("digits")


# -- what the rooms robust and training try themselves on ------------------------------------


@pytest.fixture
def net():
    """A small network in training mode with a frozen BatchNorm, a frozen weight and dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(6, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 16, 4),
        )
    model.train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    return model


@pytest.fixture
def data():
    """48 noisy images of four classes, each a bright quarter."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(48) % 4
    images = 0.4 * torch.rand(48, 1, 8, 8, generator=generator)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.5
    return images, labels


@pytest.fixture
def trace():
    """Everything of a model and of torch's generator that a measurement must leave alone."""

    def take(model):
        return (
            {name: value.clone() for name, value in model.state_dict().items()},
            {name: module.training for name, module in model.named_modules()},
            {name: each.requires_grad for name, each in model.named_parameters()},
            {
                name: None if each.grad is None else each.grad.clone()
                for name, each in model.named_parameters()
            },
            torch.get_rng_state(),
            (torch.is_grad_enabled(), torch.get_num_threads()),
        )

    return take


@pytest.fixture
def same():
    """Whether two traces are equal."""

    def compare(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and torch.equal(a, b)
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(compare(a[key], b[key]) for key in a)
        if isinstance(a, tuple):
            return len(a) == len(b) and all(map(compare, a, b))
        return a == b

    return compare
