"""Controls of the Pareto front: its axes, its records, steps along it, live estimates."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from gdws_explorer.figures.pareto_front import COSTS
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, row, wide
from gdws_explorer.widgets.front_view import FrontView


class FrontControls:
    """Inputs for the axes and the records of the front, and buttons for steps along it."""

    def __init__(self, session: Session, view: FrontView) -> None:
        self._view = view
        costs = [(label, name) for name, label in COSTS.items()]
        self._cost = labelled(w.Dropdown, "x", 14, 230, options=costs)
        metrics = [
            ("clean and robust accuracy", ("robust", "clean")),
            ("robust accuracy", ("robust",)),
            ("clean accuracy", ("clean",)),
        ]
        self._metrics = labelled(w.Dropdown, "y", 14, 230, options=metrics)
        self._dominated = w.Checkbox(
            value=True, description="show dominated plans", indent=False, layout=wide(170)
        )
        back = button("", "arrow-left", "The next cheaper plan of the front (←)", 36)
        forth = button("", "arrow-right", "The next more expensive plan of the front (→)", 36)
        on(session, back, lambda: session.step_along_front(-1, view.metrics[0], view.cost))
        on(session, forth, lambda: session.step_along_front(1, view.metrics[0], view.cost))
        for widget in (self._cost, self._metrics, self._dominated):
            widget.observe(self._changed, "value")
        self._live = w.Checkbox(
            value=False, description="live estimate", indent=False, layout=wide(120),
            tooltip="While you drag: the plan on images attacked once for the dense network, an "
            "upper bound of its robust accuracy",
        )  # fmt: skip
        self._session = session
        self._live.observe(self._estimating, "value")
        self.box = row(self._cost, self._metrics, self._dominated, self._live, back, forth)

    def _changed(self, _change: Any) -> None:
        self._view.cost = self._cost.value
        self._view.metrics = self._metrics.value
        self._view.dominated = self._dominated.value
        with self._session.show_errors():
            self._view.refresh(self._session.snapshot)

    def refresh(self) -> None:
        """Ticks the box where live estimates are on."""
        self._live.value = self._session.estimates.enabled

    def _estimating(self, change: dict[str, Any]) -> None:
        if change["new"] != self._session.estimates.enabled:
            with self._session.show_errors():
                self._session.show_live_estimates(change["new"])
            self.refresh()
