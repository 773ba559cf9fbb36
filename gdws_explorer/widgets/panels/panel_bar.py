"""A row of buttons that open one panel at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import ipywidgets as w

from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import row


class Panel(Protocol):
    """What the shelf opens. `refresh(what)` hears every change, also from the worker's thread."""

    title: ClassVar[str]
    tip: ClassVar[str]
    box: w.Widget

    def __init__(self, session: Session) -> None:
        """Make the widgets; called when it is first opened."""
        ...

    def refresh(self, what: str) -> None:
        """Follow a change of the session; `what` is as its listeners hear it."""
        ...


class PanelBar:
    """Panels by their titles; none is made before somebody wants to see it."""

    def __init__(self, session: Session, kinds: Sequence[type[Panel]]) -> None:
        self._session = session
        self._kinds = {kind.title: kind for kind in kinds}
        self._made: dict[str, Panel] = {}
        self._buttons = {
            kind.title: w.ToggleButton(
                description=kind.title, tooltip=kind.tip, layout=w.Layout(width="auto")
            )
            for kind in kinds
        }
        self._place = w.VBox([])
        self._place.add_class("gx-panel")
        for made in self._buttons.values():
            made.observe(self._pressed, "value")
        label = w.HTML('<span class="gx-title">More</span>')
        self.box = w.VBox([row(label, *self._buttons.values()), self._place])

    @property
    def opened(self) -> Panel | None:
        """The panel on view."""
        title = next((t for t, made in self._buttons.items() if made.value), None)
        return None if title is None else self._made.get(title)

    def open(self, title: str | None) -> None:
        """Show one panel, or none."""
        for name, made in self._buttons.items():
            made.value = name == title

    def refresh(self, what: str) -> None:
        """Tell the panels that there are; one that is hidden catches up when it is opened."""
        opened = self.opened
        if opened is not None:
            opened.refresh(what)

    def close(self) -> None:
        """Let go of the panels that are not on view; the others close with the explorer."""
        self._place.children = [panel.box for panel in self._made.values()]

    def _pressed(self, change: dict[str, Any]) -> None:
        title = change["owner"].description
        if not change["new"]:
            if all(not made.value for made in self._buttons.values()):
                self._place.children = []
            return
        for name, made in self._buttons.items():
            if name != title:
                made.value = False
        with self._session.show_errors():
            if title not in self._made:
                self._made[title] = self._kinds[title](self._session)
            else:
                for what in ("plan", "records", "pins", "job"):
                    self._made[title].refresh(what)
            self._place.children = [self._made[title].box]
