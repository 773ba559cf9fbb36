"""Catastrophic overfitting: found where it is, not where it is not, and what is done then."""

import pytest
import torch
from torch import nn

from gdws_explorer.robust import PGD
from gdws_explorer.training import Recipe, fit, overfitting

EPS = 0.2
EASY, HARD = PGD(EPS, 1, 1.25 * EPS), PGD(EPS, 10)


class Masked(nn.Module):
    """Right on every image, unless one pixel moved a little: one large step misses it."""

    def forward(self, x):
        pixel = x[:, 0, 0, 0]
        bump = torch.exp(-(((pixel - 0.4) / 0.03) ** 2)) * (1 + 0 * pixel)
        slope = 1e-3 * (pixel - 0.5)  # leads the one step away, up to a corner
        return torch.stack([0.5 + slope, bump], 1)


def test_a_network_that_only_one_step_cannot_fool_is_found():
    x = torch.full((64, 1, 4, 4), 0.5)
    y = torch.zeros(64, dtype=torch.int64)
    words = overfitting.catastrophic_overfitting(Masked(), x, y, EASY, HARD)
    assert words is not None
    assert "catastrophic overfitting" in words
    assert "of 64 images are correct under PGD-1" in words
    assert "under PGD-10" in words


def test_sound_networks_raise_no_alarm(net, data):
    assert overfitting.catastrophic_overfitting(net, *data, EASY, HARD) is None  # untrained
    trained = fit(net, data, Recipe(method="pgd", eps=0.1, epochs=6, lr=0.05, batch_size=12))
    assert overfitting.catastrophic_overfitting(trained.model, *data, EASY, HARD) is None
    plain = fit(net, data, Recipe(epochs=6, lr=0.05, batch_size=12))  # both fool it
    assert overfitting.catastrophic_overfitting(plain.model, *data, EASY, HARD) is None


def test_the_epoch_begins_anew_with_a_step_more(net, data, tmp_path, monkeypatch):
    asked = []

    def collapse(model, x, y, easy, hard, cancel):
        asked.append(easy)
        return "it collapsed" if len(asked) == 3 else None  # half through the second epoch

    monkeypatch.setattr(overfitting, "catastrophic_overfitting", collapse)
    recipe = Recipe(method="fast", eps=0.1, epochs=4, lr=0.05, batch_size=12)
    file = tmp_path / "run.safetensors"

    def stop(epoch):
        if epoch.number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net, data, recipe, checkpoint=file, after_epoch=stop)
    again = fit(net, data, recipe, checkpoint=file)  # goes on with two steps
    assert [entry.attack_steps for entry in again.history] == [1, 2, 2, 2]
    assert [entry.steps for entry in again.history] == [4, 8, 12, 16]
    note = "it collapsed; the epoch began anew with 2 gradient steps"
    assert [entry.note for entry in again.history] == [None, note, None, None]
    assert [each.steps for each in asked] == [1] * 3 + [2] * 8
    assert asked[-1].step_size == pytest.approx(0.625 * 0.1)


def test_three_steps_are_trusted(net, data, monkeypatch):
    monkeypatch.setattr(overfitting, "catastrophic_overfitting", lambda *_: "it collapsed")
    made = fit(net, data, Recipe(method="fast", eps=0.1, epochs=2, batch_size=12))
    assert [entry.attack_steps for entry in made.history] == [3, 3]
    assert made.history[0].note.count("it collapsed") == 2
    assert made.history[1].note is None
