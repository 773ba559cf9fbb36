"""Export bar: the compressed network as a folder, the records as CSV, the state string."""

from __future__ import annotations

import ipywidgets as w

from gdws_explorer.session import state_string
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, row


class ExportBar:
    """Buttons that export the network, the records and the state.

    folder : input with the folder of the network. state : shows the state string.
    export_button, csv_button, state_button : the buttons.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.folder = labelled(
            w.Text, "folder", 48, 220, value="chosen", tooltip="The folder of the exported network"
        )
        self.export_button = button(
            "Export network", "download",
            "plan.json, model.safetensors, model.onnx, report.json and a README.md", 150,
        )  # fmt: skip
        self.csv_button = button(
            "Records as CSV", "table", "All records of this setting: records.csv", 150
        )
        self.state_button = button("State string", "link", "The whole view as text", 120)
        self.state = w.Text(
            placeholder="gx.explore(state=…) restores it", layout=w.Layout(width="320px")
        )
        on(session, self.export_button, self._export)
        on(session, self.csv_button, self._write_csv)
        on(session, self.state_button, self._show_state)
        self.box = row(
            self.folder, self.export_button, self.csv_button, self.state_button, self.state
        )

    def _export(self) -> None:
        self.export_button.disabled = True
        try:
            self._session.show_message("exporting …")
            folder = self._session.export(self.folder.value.strip() or "chosen")
        finally:
            self.export_button.disabled = False
        self._session.show_message(
            f"exported to {folder}: its README.md says how to load it again."
        )

    def _write_csv(self) -> None:
        path = self._session.measurements.save("records.csv")
        self._session.show_message(f"wrote {path}.")

    def _show_state(self) -> None:
        self.state.value = state_string.encode(self._session)
        if self._session.plan.trained:
            self._session.show_message(
                "the string holds the ranks, not the trained weights: to keep these, export the "
                "network."
            )
