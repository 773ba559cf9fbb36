"""Bring your own, the live estimate, pins and signs of masked gradients, under a real hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from driving import Explored
from playwright.sync_api import expect

import gdws_explorer as gx

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def shelf(explorer: Explored) -> Iterator[Explored]:
    """The explorer under a quick attack, its panels closed again afterwards."""
    explorer.kernel.run("_session.measure_with(gx.PGD(0.15, steps=3), 60)")
    yield explorer
    explorer.kernel.run(
        "explorer.front_controls._live.value = False; explorer.panel_bar.open(None)\n"
        "_session.measure_with(gx.PGD(0.15, steps=20), 360)"
    )


def test_a_file_is_chosen_looked_at_explored_and_left_again(shelf: Explored, lab) -> None:
    x, y = gx.load("digits").data
    np.savez(lab.folder / "images.npz", x=x[:80].numpy(), y=y[:80].numpy())
    shelf.kernel.run("mine = gx.load('digits-plain').model")
    root = shelf.root
    root.get_by_role("button", name="Bring your own").click()
    network = root.get_by_role("combobox", name="network", exact=True)
    network.fill("mine")
    network.press("Enter")
    chooser = root.locator(".gx-panel .vbox, .gx-panel .widget-vbox").filter(
        has_text="With x (images) and y (labels) in it"
    )
    chooser.last.get_by_role("button", name="Choose").click()
    chooser.last.locator("option", has_text="images.npz").click()
    chooser.last.get_by_role("button", name="Choose").click()
    root.get_by_label("n", exact=True).last.fill("60")
    root.get_by_label("n", exact=True).last.press("Enter")
    root.get_by_role("button", name="Look at it").click()
    expect(root.get_by_text("of the first 80 images correct")).to_be_visible(timeout=60_000)
    expect(root.get_by_text("60 to measure on, 20 others for calibration")).to_be_visible()
    root.get_by_role("button", name="Explore it").click()
    back = root.get_by_role("button", name="Back")
    expect(back).to_be_visible(timeout=60_000)
    assert shelf.kernel.ask("explorer.custom.session.measurements.n") == 60
    expect(root.get_by_text("No plan is measured yet")).to_be_visible()
    back.click()
    expect(back).to_have_count(0)
    shelf.ready()
    shelf.agrees()


def test_the_estimate_follows_the_hand_and_says_that_it_is_a_bound(shelf: Explored) -> None:
    shelf.root.get_by_label("live estimate").check()
    shelf.drag(shelf.master, 0.3)
    note = shelf.root.get_by_text("transfer, upper bound: robust at most")
    expect(note).to_be_visible(timeout=60_000)
    before = note.inner_text()
    shelf.drag(shelf.master, 0.12)
    shelf.agrees()
    shelf.until(
        lambda: shelf.kernel.ask("_session.snapshot.estimate is not None"), "it is estimated", 60
    )
    said = shelf.kernel.ask("100 * _session.snapshot.estimate.robust")
    shelf.until(lambda: f"at most {said:.1f}%" in note.inner_text(), "the estimate follows", 60)
    assert note.inner_text() != before
    labels = shelf.page.evaluate(
        "() => document.querySelectorAll('.gx-explorer .js-plotly-plot')[1].layout.shapes"
        ".map((shape) => shape.label && shape.label.text || '')"
    )
    assert any("(transfer)" in label for label in labels)
    assert not any("predicted" in label and f"{said:.0f}" in label for label in labels)


def test_pins_and_signs_are_read_in_place(shelf: Explored) -> None:
    root = shelf.root
    root.get_by_role("button", name="Compare A–D").click()
    root.get_by_role("button", name="Pin A").click()
    shelf.drag(shelf.master, 0.2)
    root.get_by_role("button", name="Pin B").click()
    table = root.locator(".gx-table")
    expect(table.get_by_role("columnheader")).to_have_text(["", "A", "B"])
    expect(table).to_contain_text("2,379,008 (100%)")
    root.get_by_role("button", name="Can I trust it?").click()
    root.get_by_role("button", name="Check this plan").click()
    expect(root.get_by_text("signs found")).to_be_visible(timeout=120_000)
    expect(root.get_by_text("PGD-3 ℓ∞ ε 0.15, n 100, seed 0")).to_be_visible()
