"""Export bar: folder, CSV, state string."""

from __future__ import annotations

import ipywidgets as w

from gdws_explorer.session import state_string as states
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, row


class ExportBar:
    """Export, records as CSV, the state string."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = labelled(
            w.Text, "folder", 48, 220, value="chosen", tooltip="Where the chosen network is written"
        )
        self._export = button(
            "Export network", "download",
            "plan.json, model.safetensors, model.onnx, report.json and a README.md", 150,
        )  # fmt: skip
        csv = button("Records as CSV", "table", "All records of this setting: records.csv", 150)
        state = button("State string", "link", "The whole view as text", 120)
        self._state = w.Text(
            placeholder="gx.explore(state=…) restores it", layout=w.Layout(width="320px")
        )
        on(session, self._export, self._go)
        on(session, csv, self._csv)
        on(session, state, self._show)
        self.box = row(self._folder, self._export, csv, state, self._state)

    def _go(self) -> None:
        self._export.disabled = True
        try:
            self._session.show_message("exporting …")
            folder = self._session.export(self._folder.value.strip() or "chosen")
        finally:
            self._export.disabled = False
        self._session.show_message(
            f"exported to {folder}: its README.md says how to load it again."
        )

    def _csv(self) -> None:
        path = self._session.measurements.save("records.csv")
        self._session.show_message(f"wrote {path}.")

    def _show(self) -> None:
        self._state.value = states.encode(self._session)
        if self._session.plan.trained:
            self._session.show_message(
                "the string holds the ranks, not the trained weights: to keep these, export the "
                "network."
            )
