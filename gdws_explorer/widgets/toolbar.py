"""Toolbar: undo, pins, presets, panels."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from gdws_explorer.session.presets import PRESETS
from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import button, on, row


class Toolbar:
    """The title, undo and redo, presets, reset."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._undo = button("Undo", "undo", "Take the last step back (Ctrl+Z)")
        self._redo = button("Redo", "repeat", "Take it again (Ctrl+Y)")
        reset = button("Reset", "refresh", "All layers dense, nothing locked")
        self._preset = w.Dropdown(
            options=[("Presets …", ""), *((name, name) for name in PRESETS)],
            layout=w.Layout(width="240px"),
        )
        on(session, self._undo, session.controls.undo)
        on(session, self._redo, session.controls.redo)
        on(session, reset, session.controls.reset)
        self._preset.observe(self._chosen, "value")
        self.box = row(w.HTML(text.head(session)), self._undo, self._redo, self._preset, reset)
        self.refresh(session.snapshot)

    def refresh(self, now: Snapshot) -> None:
        """Disables Undo and Redo where there is no step."""
        self._undo.disabled = not now.can_undo
        self._redo.disabled = not now.can_redo

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"]:
            with self._session.show_errors():
                self._session.controls.apply_preset(change["new"])
            self._preset.value = ""
