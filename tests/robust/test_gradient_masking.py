"""Networks that hide their gradients are found out, and an honest one passes."""

import threading

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled, DataError

PGD = gx.PGD(0.15, steps=10)
FAST = {"n": 40, "queries": 100}


class Quantised(nn.Module):
    """Rounds the image first: no gradient gets through."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(torch.round(5 * x) / 5)


class Saturated(nn.Module):
    """Scores so large that the softmax is 1, and the cross-entropy flat."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 1e4 * self.model(x)


class Rippled(nn.Module):
    """The gradient of the ripples drowns that of the network."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x + 0.02 * torch.sin(300 * x))


@pytest.fixture(scope="module")
def plain():
    return gx.load("digits-plain")


def warned(found):
    return {check.name for check in found.warnings}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "digits-plain"])
def test_honest_networks_pass(name):
    bench = gx.load(name)
    found = gx.check_masking(bench.model, bench.data, PGD, **FAST)
    assert warned(found) == set()
    assert len(found.checks) == 7
    assert (found.attack, found.n, found.seed) == (PGD, 40, 0)
    assert str(found).startswith("none of 7 signs of masked gradients: PGD-10 ℓ∞ ε 0.15, n 40")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mask", "signs"),
    [
        (
            Quantised,
            {
                "the gradient vanishes",
                "search beats the gradient",
                "more steps do not help",
                "an attack without bounds does not reach 0 %",
            },
        ),
        (
            Saturated,
            {
                "the gradient vanishes",
                "search beats the gradient",
                "more steps do not help",
                "an attack without bounds does not reach 0 %",
            },
        ),
        (
            Rippled,
            {"one step beats many", "search beats the gradient", "more steps do not help"},
        ),
    ],
)
def test_networks_that_mask_are_found_out(plain, mask, signs):
    found = gx.check_masking(mask(plain.model), plain.data, PGD, **FAST)
    assert signs <= warned(found)
    for check in found.warnings:
        assert check.advice
        assert all(0 <= each.correct <= each.n <= 40 for each in check.outcomes)
    assert "WARNING" in str(found)


@pytest.mark.slow
def test_the_same_images_and_the_attack_that_was_given(plain):
    staged = gx.Staged([gx.FGSM(0.1), gx.PGD(0.1, steps=4, restarts=3)])
    found = gx.check_masking(plain.model, plain.data, staged, n=20, seed=4, queries=10)
    assert found.attack == gx.PGD(0.1, steps=4, step_size=0.0625)
    own = gx.evaluate(plain.model, plain.data, found.attack, n=20, seed=4)
    assert found.checks[1].outcomes[1].correct == own.robust_correct
    other = gx.check_masking(plain.model, plain.data, gx.Square(0.1), n=20, queries=10)
    assert other.attack == gx.PGD(0.1)


def test_in_l2_too(plain):
    attack = gx.PGD(1.0, steps=4, norm="l2")
    found = gx.check_masking(plain.model, plain.data, attack, n=20, queries=20)
    assert warned(found) == set()
    assert len(found.checks) == 7
    odd = plain.data[0].repeat(1, 1, 2, 2)[:, :, :8, :16], plain.data[1]
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(8), plain.model)
    found = gx.check_masking(pooled, odd, attack, n=20, queries=20)
    assert len(found.checks) == 6  # Square has no patterns for wide images


def test_progress_cancel_and_no_trace(plain, trace, same):
    model = plain.model.train()
    before, told, stop = trace(model), [], threading.Event()
    gx.check_masking(model, plain.data, gx.PGD(0.1, steps=2), n=10, queries=5, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert same(trace(model), before)
    stop.set()
    with pytest.raises(Cancelled):
        gx.check_masking(model, plain.data, PGD, cancel=stop, **FAST)
    with pytest.raises(DataError, match="no attack"):
        gx.check_masking(model, plain.data, None)
    with pytest.raises(DataError, match="n is 0"):
        gx.check_masking(model, plain.data, PGD, n=0)
    model.eval()
