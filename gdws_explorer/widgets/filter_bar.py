"""Filter bar: bounds on accuracy and MACs, and buttons for the knee and the cheapest plan."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as w

from gdws_explorer.session.session import Session
from gdws_explorer.utils.parsing import parse_percent
from gdws_explorer.widgets.form import button, labelled, on, on_change, row, set_value
from gdws_explorer.widgets.front_view import FrontView

BOUNDS = {  # label, its width in pixels, tooltip
    "robust": ("robust ≥", 62, "Grey out plans with less robust accuracy, in per cent"),
    "clean": ("clean ≥", 54, "Grey out plans with less clean accuracy, in per cent"),
    "macs": ("MACs ≤", 56, "Grey out plans with more MACs, in per cent of the dense network"),
}


class FilterBar:
    """Three bounds on the records, and buttons that show the knee or the cheapest plan.

    bounds : the inputs by metric, in per cent; an empty one is no bound.
    """

    def __init__(self, session: Session, view: FrontView) -> None:
        self._session, self._view = session, view
        self.bounds = {
            metric: labelled(
                w.Text, label, label_width, label_width + 48, placeholder="%",
                continuous_update=False, tooltip=tooltip,
            )
            for metric, (label, label_width, tooltip) in BOUNDS.items()
        }  # fmt: skip
        for metric, field in self.bounds.items():
            on_change(field, partial(self._set_bound, metric))
        self.knee_button = button(
            "Knee", "", "The plan of the front after which more cost gains the least accuracy", 62
        )
        self.cheapest_button = button(
            "Cheapest", "", "The cheapest plan that is not greyed out", 92
        )
        on(session, self.knee_button, self._show_knee)
        on(session, self.cheapest_button, self._show_cheapest)
        self.box = row(*self.bounds.values(), self.cheapest_button, self.knee_button)

    def refresh(self) -> None:
        """Shows the bounds of the session's filters."""
        filters, dense_macs = self._session.record_filter.filters, self._session.network.macs
        for metric, field in self.bounds.items():
            share = filters.share(metric, dense_macs)
            set_value(field, "" if share is None else f"{100 * share:.3g}")

    def _set_bound(self, metric: str, change: dict[str, Any]) -> None:
        record_filter = self._session.record_filter
        before = record_filter.filters
        with self._session.show_errors():
            share = parse_percent(BOUNDS[metric][0], change["new"])
            record_filter.apply(before.with_share(metric, share, self._session.network.macs))
        if record_filter.filters == before:
            self.refresh()

    def _show_knee(self) -> None:
        record = self._session.record_filter.knee(self._view.metrics[0], self._view.cost)
        self._session.show(record.plan)

    def _show_cheapest(self) -> None:
        record = self._session.record_filter.cheapest(self._view.metrics[0], self._view.cost)
        self._session.show(record.plan)
