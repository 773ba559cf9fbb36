"""The panel of pins, without a browser."""

import pytest

import gdws_explorer as gx


@pytest.fixture
def explorer():
    made = gx.explore("digits")
    made.panel_bar.open("Compare A–D")
    yield made
    made.close()


def test_pins_are_kept_compared_and_put_back(explorer):
    session, panel = explorer.session, explorer.panel_bar.opened
    assert "Pin this plan" in panel.table.value
    panel.pins["A"].pin_button.click()
    dense = session.plan
    assert "2,379,008 (100%)" in panel.table.value
    session.controls.move_budget("macs", 0.3)
    panel.pins["B"].pin_button.click()
    assert session.controls.pins == {"A": dense, "B": session.plan}
    assert "<th>A</th><th>B</th>" in panel.table.value
    assert "not measured" in panel.table.value
    panel.pins["A"].show_button.click()
    assert session.plan == dense
    session.controls.undo()
    assert session.plan == session.controls.pins["B"]
    panel.pins["B"].remove_button.click()
    assert panel.pins["B"].show_button.disabled
    assert "<th>B</th>" not in panel.table.value


def test_an_evaluation_fills_the_table_in(explorer):
    session, panel = explorer.session, explorer.panel_bar.opened
    session.measure_with(gx.FGSM(0.15), 40)
    panel.pins["A"].pin_button.click()
    session.controls.move_budget("macs", 0.1)
    panel.pins["B"].pin_button.click()
    for letter in "AB":
        session.show(session.controls.pins[letter])
        session.evaluate()
        session.jobs.wait(60)
    assert "not measured" not in panel.table.value
    assert "points (" in panel.table.value
    assert "FGSM ℓ∞ ε 0.15 · n 40 · seed 0" in panel.table.value


def test_pins_travel_with_the_state(explorer):
    explorer.session.controls.pin("C")
    explorer.session.controls.move_budget("macs", 0.5)
    explorer.session.controls.pin("A")
    again = gx.explore(state=explorer.state)
    assert again.session.controls.pins == explorer.session.controls.pins
    again.close()
    with pytest.raises(gx.ExplorerError, match="expected one of A, B, C, D"):
        explorer.session.controls.pin("E")


def test_two_letters_with_one_plan_are_said(explorer):
    explorer.session.controls.pin("A")
    explorer.session.controls.pin("B")
    assert "hold the same plan" in explorer.panel_bar.opened.table.value
