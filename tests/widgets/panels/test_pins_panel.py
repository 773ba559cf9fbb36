"""The panel of pins, without a browser."""

import pytest

import gdws_explorer as gx


@pytest.fixture
def explorer():
    made = gx.explore("digits")
    made.shelf.open("Compare A–D")
    yield made
    made.close()


def test_pins_are_kept_compared_and_put_back(explorer):
    session, panel = explorer.session, explorer.shelf.opened
    assert "Pin the plan" in panel._table.value
    panel._pins["A"]._pin.click()
    dense = session.plan
    assert "2,379,008 (100%)" in panel._table.value
    session.move_network("macs", 0.3)
    panel._pins["B"]._pin.click()
    assert session.pins == {"A": dense, "B": session.plan}
    assert "<th>A</th><th>B</th>" in panel._table.value
    assert "not measured" in panel._table.value
    panel._pins["A"]._go.click()
    assert session.plan == dense
    session.undo()
    assert session.plan == session.pins["B"]
    panel._pins["B"]._drop.click()
    assert panel._pins["B"]._go.disabled
    assert "<th>B</th>" not in panel._table.value


def test_an_evaluation_fills_the_table_in(explorer):
    session, panel = explorer.session, explorer.shelf.opened
    session.measure_with(gx.FGSM(0.15), 40)
    panel._pins["A"]._pin.click()
    session.move_network("macs", 0.1)
    panel._pins["B"]._pin.click()
    for letter in "AB":
        session.put(session.pins[letter])
        session.evaluate()
        session.jobs.wait(60)
    assert "not measured" not in panel._table.value
    assert "points (" in panel._table.value
    assert "FGSM ℓ∞ ε 0.15 · n 40 · seed 0" in panel._table.value


def test_pins_travel_with_the_state(explorer):
    explorer.session.pin("C")
    explorer.session.move_network("macs", 0.5)
    explorer.session.pin("A")
    again = gx.explore(state=explorer.state)
    assert again.session.pins == explorer.session.pins
    again.close()
    with pytest.raises(gx.ExplorerError, match="expected one of A, B, C, D"):
        explorer.session.pin("E")


def test_two_letters_with_one_plan_are_said(explorer):
    explorer.session.pin("A")
    explorer.session.pin("B")
    assert "hold the same plan" in explorer.shelf.opened._table.value
