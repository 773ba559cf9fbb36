"""The panel "Compare A–D": up to four pinned plans, and a table of their differences."""

from __future__ import annotations

from html import escape
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.study.comparison import LETTERS, ComparedPlan, comparison_table
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import button, on, row

EMPTY = (
    "Pin this plan as A, change it, and pin the new one as B. The table shows the differences of "
    "the two, and the interval of the difference in accuracy on the same images."
)


class PinsPanel:
    """Four pinned plans and a table of their differences.

    pins : the buttons by letter. table : the differences.
    """

    title: ClassVar[str] = "Compare A–D"
    tip: ClassVar[str] = "Pin up to four plans and compare them"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pins = {letter: PinButtons(session, letter) for letter in LETTERS}
        self.table = w.HTML()
        self.box = w.VBox([row(*(pin.box for pin in self.pins.values())), self.table])
        self.refresh("pins")

    def refresh(self, event: Event) -> None:
        """Shows the pins and what was measured of them."""
        if event not in ("pins", "records"):
            return
        for pin in self.pins.values():
            pin.refresh()
        session = self._session
        pinned = {
            letter: ComparedPlan(
                plan, session.views.of(plan).summary(plan), session.measurements.of(plan)
            )
            for letter, plan in sorted(session.controls.pins.items())
        }
        self.table.value = comparison_html(pinned, text.setting(session))


class PinButtons:
    """The buttons of one letter.

    pin_button : pins the present plan. show_button : makes the pinned plan the present one.
    remove_button : removes the pin.
    """

    def __init__(self, session: Session, letter: str) -> None:
        self._session, self._letter = session, letter
        self.pin_button = button(f"Pin {letter}", "thumb-tack", f"Pin this plan as {letter}")
        self.show_button = button("", "arrow-up", f"Go back to plan {letter}", 34)
        self.remove_button = button("", "times", f"Remove pin {letter}", 34)
        controls = session.controls
        on(session, self.pin_button, lambda: controls.pin(letter))
        on(session, self.show_button, lambda: session.show(controls.pins[letter]))
        on(session, self.remove_button, lambda: controls.pin(letter, None))
        self.box = w.HBox(
            [self.pin_button, self.show_button, self.remove_button],
            layout=w.Layout(margin="0 12px 0 0"),
        )

    def refresh(self) -> None:
        """Enables the buttons that need a pinned plan."""
        pinned = self._letter in self._session.controls.pins
        self.show_button.disabled = self.remove_button.disabled = not pinned
        self.pin_button.button_style = "info" if pinned else ""


def comparison_html(pins: dict[str, ComparedPlan], setting: str) -> str:
    """Returns the table of differences. setting : the evaluation setting as text."""
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
    note = (
        f"Measured with {setting}; 95 % intervals in brackets. Rows without a difference are "
        f"left out.{same}"
    )
    return (
        f'<table class="gx-table"><tr><th></th>{head}</tr>{rows}</table>'
        f'<span class="gx-unit">{escape(note)}</span>'
    )
