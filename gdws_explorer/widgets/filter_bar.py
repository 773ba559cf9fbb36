"""What a plan must have to stand out on the front, and the way to the one that is wanted."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import ipywidgets as w

from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, on_change, row, set_value, share
from gdws_explorer.widgets.front_view import FrontView

BOXES = {
    "robust": ("robust ≥", 62, "Grey out plans of less robust accuracy, in per cent"),
    "clean": ("clean ≥", 54, "Grey out plans of less clean accuracy, in per cent"),
    "macs": ("MACs ≤", 56, "Grey out plans of more MACs, in per cent of the dense network"),
}


class FilterBar:
    """Three bounds, the knee, and the cheapest plan that holds to them."""

    def __init__(self, session: Session, view: FrontView) -> None:
        self._session = session
        self._boxes = {
            name: labelled(
                w.Text, label, room, room + 48, placeholder="%", continuous_update=False,
                tooltip=tip,
            )
            for name, (label, room, tip) in BOXES.items()
        }  # fmt: skip
        for name, box in self._boxes.items():
            on_change(box, partial(self._asked, name))
        knee = button("Knee", "", "The plan after which more cost buys the least accuracy", 62)
        best = button("Cheapest", "", "The cheapest plan that holds to these", 92)
        found = session.record_filter
        on(session, knee, lambda: session.show(found.knee(view.metrics[0], view.cost).plan))
        on(session, best, lambda: session.show(found.cheapest(view.metrics[0], view.cost).plan))
        self.box = row(*self._boxes.values(), best, knee)

    def refresh(self) -> None:
        """Show the bounds that are in force."""
        bounds = {one.metric: one for one in self._session.record_filter.filters.bounds}
        for name, box in self._boxes.items():
            asked = bounds.get(name)
            set_value(box, "" if asked is None else self._text(name, asked.low, asked.high))

    def _asked(self, name: str, change: dict[str, Any]) -> None:
        picking = self._session.record_filter
        before = picking.filters
        with self._session.show_errors():
            bound = share(change["new"], BOXES[name][0])
            if bound is not None and name == "macs":
                bound *= self._session.network.macs
            low, high = (None, bound) if name == "macs" else (bound, None)
            picking.apply(before.bound(name, low, high))
        if picking.filters == before:
            self.refresh()

    def _text(self, name: str, low: float, high: float) -> str:
        bound = high / self._session.network.macs if name == "macs" else low
        return "" if math.isinf(bound) else f"{100 * bound:.3g}"
