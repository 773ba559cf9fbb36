"""Pins A to D and a table of only what differs between them."""

from __future__ import annotations

from html import escape
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.session.session import Session
from gdws_explorer.study.comparison import LETTERS, ComparedPlan, comparison_table
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import button, on, row

EMPTY = (
    "Pin the plan on the faders as A, move them, pin another as B: the table shows what differs, "
    "and how sure the difference in accuracy is on the same images."
)


class PinsPanel:
    """Four places to keep a plan, and what differs between those that are kept."""

    title: ClassVar[str] = "Compare A–D"
    tip: ClassVar[str] = "Pin up to four plans and see only what differs"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pins = {letter: _Pin(session, letter) for letter in LETTERS}
        self._table = w.HTML()
        self.box = w.VBox([row(*(pin.box for pin in self._pins.values())), self._table])
        self.refresh("pins")

    def refresh(self, what: str) -> None:
        """Follow the pins and the records."""
        if what not in ("pins", "records"):
            return
        for pin in self._pins.values():
            pin.refresh()
        measured = self._session.measurements
        kept = {
            letter: ComparedPlan(
                plan, self._session.views.of(plan).summary(plan), measured.of(plan)
            )
            for letter, plan in sorted(self._session.controls.pins.items())
        }
        self._table.value = _html(kept, text.setting(self._session))


class _Pin:
    """One letter: pin here, go back to it, let go."""

    def __init__(self, session: Session, letter: str) -> None:
        self._session, self._letter = session, letter
        self._pin = button(
            f"Pin {letter}", "thumb-tack", f"Keep the plan on the faders as {letter}"
        )
        self._go = button("", "arrow-up", f"Put {letter} back on the faders", 34)
        self._drop = button("", "times", f"Forget {letter}", 34)
        on(session, self._pin, lambda: session.controls.pin(letter))
        on(session, self._go, lambda: session.show(session.controls.pins[letter]))
        on(session, self._drop, lambda: session.controls.pin(letter, None))
        self.box = w.HBox([self._pin, self._go, self._drop], layout=w.Layout(margin="0 12px 0 0"))

    def refresh(self) -> None:
        """Going there and letting go need something to be there."""
        there = self._letter in self._session.controls.pins
        self._go.disabled = self._drop.disabled = not there
        self._pin.button_style = "info" if there else ""


def _html(pins: dict[str, ComparedPlan], setting: str) -> str:
    if not pins:
        return f'<span class="gx-unit">{escape(EMPTY)}</span>'
    head = "".join(f"<th>{letter}</th>" for letter in pins)
    rows = "".join(
        f'<tr><td class="gx-unit">{escape(line.label)}</td>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in line.cells)
        + "</tr>"
        for line in comparison_table(pins)
    )
    same = ""
    if len({pin.plan for pin in pins.values()}) < len(pins):
        same = " Some letters hold the same plan."
    note = f"Measured with {setting}; in brackets 95 % intervals. What is equal is left out.{same}"
    return (
        f'<table class="gx-table"><tr><th></th>{head}</tr>{rows}</table>'
        f'<span class="gx-unit">{escape(note)}</span>'
    )
