"""The panel "Can I trust it?", without a browser."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx


class Rounded(nn.Module):
    """A network that sees its images in four grey levels: a gradient of zeros."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((x * 3).round() / 3)


def _panel(explorer, n=20):
    explorer.session.measure_with(gx.PGD(0.15, 3), 40)
    explorer.panel_bar.open("Can I trust it?")
    panel = explorer.panel_bar.opened
    panel.n.value = n
    return panel


def _checked(explorer, panel):
    panel.check_button.click()
    explorer.session.jobs.wait(120)
    return panel.message.value


@pytest.mark.slow
def test_an_honest_network_shows_no_sign():
    explorer = gx.explore("digits")
    panel = _panel(explorer)
    said = _checked(explorer, panel)
    assert "None of 7 signs found" in said
    assert "PGD-3 ℓ∞ ε 0.15, n 20, seed 0" in said
    assert "present plan is another" not in said
    explorer.session.controls.move_budget("macs", 0.3)
    assert "present plan is another" in panel.message.value
    explorer.session.controls.undo()
    assert "present plan is another" not in panel.message.value
    explorer.close()


@pytest.mark.slow
def test_a_network_that_rounds_is_found_out(bench):
    explorer = gx.explore(Rounded(bench.model).eval(), data=bench.data, eps=0.15)
    said = _checked(explorer, _panel(explorer))
    assert "is not reliable" in said
    assert "⚠ found" in said
    assert "gradient of exactly zero" in said
    assert said.index("⚠ found") < said.index("✓ not found")
    explorer.close()


def test_what_is_missing_is_said_in_the_panel(bench):
    explorer = gx.explore("digits")
    panel = _panel(explorer)
    explorer.session.measure_with(None, 40)
    panel.check_button.click()
    assert "no attack to check" in panel.message.value
    explorer.close()
    explorer = gx.explore(bench.model, example=torch.rand(1, 1, 8, 8))
    explorer.panel_bar.open("Can I trust it?")
    explorer.panel_bar.opened.check_button.click()
    assert "no images to attack" in explorer.panel_bar.opened.message.value
    explorer.close()
