"""A row of buttons that open one panel at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import ipywidgets as w

from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import row

REOPENED: tuple[Event, ...] = ("plan", "records", "pins", "job")  # what a hidden panel missed


class Panel(Protocol):
    """A view that the panel bar opens.

    title, tip : text and tooltip of its button. box : its widget.
    """

    title: ClassVar[str]
    tip: ClassVar[str]
    box: w.Widget

    def __init__(self, session: Session) -> None:
        """Creates the widgets; called when the panel is first opened."""
        ...

    def refresh(self, event: Event) -> None:
        """Shows a change of the session; called in any thread."""
        ...


class PanelBar:
    """Panels by their titles, created when they are first opened.

    buttons : one per title. panels : those that exist, by title. content : the box that holds the
    panel that is shown. opened : this panel, or None.
    """

    def __init__(self, session: Session, kinds: Sequence[type[Panel]]) -> None:
        self._session = session
        self._kinds = {kind.title: kind for kind in kinds}
        self.panels: dict[str, Panel] = {}
        self.opened: Panel | None = None
        self.buttons = {
            kind.title: w.ToggleButton(
                description=kind.title, tooltip=kind.tip, layout=w.Layout(width="auto")
            )
            for kind in kinds
        }
        self.content = w.VBox([])
        self.content.add_class("gx-panel")
        for toggle in self.buttons.values():
            toggle.observe(self._toggle, "value")
        label = w.HTML('<span class="gx-title">More</span>')
        self.box = w.VBox([row(label, *self.buttons.values()), self.content])

    def open(self, title: str | None) -> None:
        """Shows one panel, or none."""
        for name, toggle in self.buttons.items():
            toggle.value = name == title

    def refresh(self, event: Event) -> None:
        """Passes an event to the panel that is shown; others are refreshed when they open."""
        opened = self.opened
        if opened is not None:
            opened.refresh(event)

    def close(self) -> None:
        """Puts all panels into the page's box, so that they are closed with the explorer."""
        self.content.children = [panel.box for panel in self.panels.values()]

    def _toggle(self, change: dict[str, Any]) -> None:
        title = change["owner"].description
        if not change["new"]:
            if all(not toggle.value for toggle in self.buttons.values()):
                self.opened = None
                self.content.children = []
            return
        for name, toggle in self.buttons.items():
            if name != title:
                toggle.value = False
        self.opened = None  # stays so where the panel cannot be created
        with self._session.show_errors():
            if title not in self.panels:
                opened = self.panels[title] = self._kinds[title](self._session)
            else:
                opened = self.panels[title]
                for event in REOPENED:
                    opened.refresh(event)
            self.opened = opened
            self.content.children = [opened.box]
