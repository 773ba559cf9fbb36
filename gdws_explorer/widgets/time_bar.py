"""Time bar: measures the milliseconds of the layers on this machine."""

from __future__ import annotations

from html import escape

import ipywidgets as w

from gdws_explorer.network.latency.latency import RUNTIMES, LatencyTable
from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.widgets.form import button, labelled, on, row

BATCHES = (1, 32)
HINT = (
    "MACs are not time: measure how long the layers take on this machine. It takes about half a "
    "minute for a small network."
)


class TimeBar:
    """A button that measures the time, and a line that says what was measured.

    runtime, batch : menus. measure_button : the button. line : the text.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: LatencyTable | None = None
        self.runtime = labelled(
            w.Dropdown, "runtime", 52, 180, value="onnxruntime",
            options=[(label, name) for name, label in RUNTIMES.items()],
            tooltip="The program that will run the exported network",
        )  # fmt: skip
        self.batch = labelled(
            w.Dropdown, "batch", 40, 100, options=BATCHES, tooltip="Images at once"
        )
        self.measure_button = button(
            "Measure time", "clock-o", "Times every layer, dense and in every family", 130
        )
        self.line = w.HTML(_text(HINT))
        on(session, self.measure_button, self._measure)
        self.box = row(self.measure_button, self.runtime, self.batch, self.line)
        self.refresh(session.snapshot)

    def refresh(self, now: Snapshot) -> None:
        """Shows what was measured, where that changed."""
        times = now.network.latencies
        if times is not self._shown:
            self._shown = times
            self.line.value = _text(HINT if times is None else f"{times.label}.")

    def _measure(self) -> None:
        known = self._shown
        same = known is not None and (known.runtime, known.batch) == (
            self.runtime.value, self.batch.value
        )  # fmt: skip
        self._session.measure_latency(self.runtime.value, batch=self.batch.value, again=same)


def _text(words: str) -> str:
    return f'<span class="gx-unit">{escape(words)}</span>'
