"""The Pareto front as a live figure."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from ipywidgets import HTML, VBox

from gdws_explorer.figures import pareto_front as fronts
from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.study.prediction import AccuracyCurve
from gdws_explorer.widgets import text
from gdws_explorer.widgets.figure import Figure

METRIC_OF = (0, 0, 1, 1, 0, 1)  # index into ACCURACIES of every trace of `fronts.figure`


class FrontView:
    """Measured plans over their cost; a click on one makes it the present plan.

    cost, metrics, dominated : what is drawn; `refresh` after a change. figure : the live figure.
    note, estimate_note : sentences below it, about the records and about the live estimate.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.cost = "macs"
        self.metrics: tuple[str, ...] = ("robust", "clean")
        self.dominated = True
        self._infos: list[fronts.FrontInfo] = []
        self._right = 1.0
        self._curves: dict[tuple[str | None, str], AccuracyCurve | None] = {}
        self._drawn_source: str | None = None
        self.note = HTML()
        self.estimate_note = HTML()
        self.figure = Figure(self._draw(session.snapshot), brings=True)
        for place in range(len(METRIC_OF)):
            self.figure.data[place].on_click(
                lambda _trace, points, _state, p=place: self._clicked(p, points)
            )
        self.box = VBox([self.figure, self.estimate_note, self.note])
        self._describe(session.snapshot)

    def refresh(self, now: Snapshot) -> None:
        """Draws the records of the setting that is shown."""
        self.figure.redraw(self._draw(now))
        self._describe(now)

    def refresh_plan(self, now: Snapshot) -> None:
        """Draws the shapes of the present plan; the records stay."""
        if self.cost == "relative_error" and self._drawn_source != now.plan.calibration:
            self.refresh(now)
            return
        self.figure.set_shapes(self._shapes(now))
        self._describe_estimate(now)

    def _describe(self, now: Snapshot) -> None:
        self.note.value = text.records(self._session)
        self._describe_estimate(now)

    def _describe_estimate(self, now: Snapshot) -> None:
        enabled = self._session.estimates.enabled
        self.estimate_note.value = text.estimate(self._session, now) if enabled else ""

    def _draw(self, now: Snapshot) -> go.Figure:
        filtered = self._session.record_filter
        records, broken = filtered.records, filtered.filters.broken
        self._curves.clear()
        self._drawn_source = now.plan.calibration
        if self.cost == "relative_error":  # of weights or of outputs: no common axis
            records = tuple(r for r in records if r.plan.calibration == self._drawn_source)
        plain = self._session.views.plain.plan().hash
        hovers = fronts.hover_texts(
            records, next((r for r in records if r.plan.hash == plain), None)
        )
        self._infos = [
            fronts.info(records, metric, self.cost, hovers, broken)
            if metric in self.metrics
            else fronts.info([], metric, self.cost)
            for metric in fronts.ACCURACIES
        ]
        figure = fronts.figure(self._infos, dominated=self.dominated)
        if self.cost == "relative_error":
            figure.update_xaxes(title=f"relative error ({now.error_unit})")
        figure.update_yaxes(title=f"{' and '.join(self.metrics)} accuracy (%)")
        dense = float(getattr(now.network, self.cost, now.summary.relative_error))
        axes = fronts.ranges(self._infos, dense)
        self._right = axes["xaxis"]["range"][1]
        return figure.update_layout(axes, shapes=self._shapes(now))

    def _shapes(self, now: Snapshot) -> list[dict[str, Any]]:
        measured = now.record is not None or now.other_images
        predicted = {} if measured else {m: self._predicted(now, m) for m in self.metrics}
        cost = float(getattr(now.summary, self.cost))
        return fronts.plan_shapes(cost, self._right, predicted, now.estimate)

    def _predicted(self, now: Snapshot, metric: str) -> float | None:
        key = now.plan.calibration, metric
        if key not in self._curves:
            self._curves[key] = self._session.measurements.accuracy_curve(*key)
        curve = self._curves[key]
        return None if curve is None else curve.at(now.summary.relative_error)

    def _clicked(self, place: int, points: Any) -> None:
        if not points.point_inds:
            return
        info = self._infos[METRIC_OF[place]]
        index = self.figure.data[place].customdata[points.point_inds[0]]
        with self._session.show_errors():
            self._session.show(info.records[int(index)].plan)
