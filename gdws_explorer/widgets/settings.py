"""The settings in which this network was measured, and a look at the records of another."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from gdws_explorer.widgets.parts import labelled
from gdws_explorer.widgets.session import Session


class SettingsMenu:
    """A menu that is there once there is more than one setting."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._busy = False
        self._menu = labelled(
            w.Dropdown, "setting", 48, 440,
            tooltip="Records of different attacks, images or seeds never share a front",
        )  # fmt: skip
        self._menu.layout.max_width = "100%"
        self._menu.observe(self._chosen, "value")
        self.box = w.VBox([self._menu])
        self.refresh()

    def refresh(self) -> None:
        """List what there is now; the one on view is chosen."""
        shown = self._session.measurements.shown
        there = self._session.measurements.settings()
        options = [
            (f"{one.label}: {one.measured} measured", one.setting)
            for one in sorted(there, key=lambda one: one.label)
        ]
        self._busy = True
        try:
            if tuple(options) != self._menu.options:
                self._menu.options = options
            self._menu.value = shown
        finally:
            self._busy = False
        self.box.layout.display = None if len(options) > 1 else "none"

    def _chosen(self, change: dict[str, Any]) -> None:
        if not self._busy and change["new"] is not None:
            with self._session.told():
                self._session.show(change["new"])
