"""The Pareto front as a live figure."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from ipywidgets import HTML, VBox

from gdws_explorer.figures import pareto_front as fronts
from gdws_explorer.session.session import Session
from gdws_explorer.widgets import text
from gdws_explorer.widgets.figure import Figure

METRIC_OF = (0, 0, 1, 1, 0, 1)  # of ACCURACIES, trace by trace as `fronts.figure` adds them


class FrontView:
    """Measured plans over their cost; a click brings a plan back to the faders."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.cost = "macs"
        self.metrics: tuple[str, ...] = ("robust", "clean")
        self.dominated = True
        self._infos: list[fronts.FrontInfo] = []
        self._right = 1.0
        self._note = HTML()
        self._bound = HTML()
        self.figure = Figure(self._draw(), brings=True)
        for place in range(len(METRIC_OF)):
            self.figure.data[place].on_click(
                lambda _trace, points, _state, p=place: self._clicked(p, points)
            )
        self.box = VBox([self.figure, self._bound, self._note])
        self.refresh()

    def refresh(self) -> None:
        """Show the records of the present setting."""
        self.figure.redraw(self._draw())
        self._note.value = text.records(self._session)
        self._say()

    def moved(self) -> None:
        """Follow the plan on the faders: a line and the ghosts, all of them shapes."""
        if self.cost == "relative_error" and self._source != self._session.plan.calibration:
            self.refresh()
            return
        with self.figure.batch_update():
            self.figure.layout.shapes = self._shapes()
        self._say()

    def _say(self) -> None:
        """The estimate in words; an equal text is not sent again."""
        self._bound.value = text.estimate(self._session)

    def _draw(self) -> go.Figure:
        records, broken = (
            self._session.record_filter.records,
            self._session.record_filter.filters.broken,
        )
        self._source = self._session.plan.calibration
        if self.cost == "relative_error":  # of weights or of outputs: no common axis
            records = tuple(r for r in records if r.plan.calibration == self._source)
        plain = self._session.views.plain.plan().hash
        said = fronts.hover_texts(records, next((r for r in records if r.plan.hash == plain), None))
        self._infos = [
            fronts.info(records, metric, self.cost, said, broken)
            if metric in self.metrics
            else fronts.info([], metric, self.cost)
            for metric in fronts.ACCURACIES
        ]
        figure = fronts.figure(self._infos, dominated=self.dominated)
        if self.cost == "relative_error":
            figure.update_xaxes(title=f"relative error ({self._session.snapshot.error_unit})")
        figure.update_yaxes(title=f"{' and '.join(self.metrics)} accuracy (%)")
        summary = self._session.summary
        dense = float(getattr(self._session.network, self.cost, summary.relative_error))
        axes = fronts.ranges(self._infos, dense)
        self._right = axes["xaxis"]["range"][1]
        return figure.update_layout(axes, shapes=self._shapes())

    def _shapes(self) -> list[dict[str, Any]]:
        """The cursor at the plan's cost, and where it should land while it is not measured."""
        session, measured = self._session, self._session.measurements
        here = float(getattr(session.summary, self.cost))
        shapes = [fronts.cursor(here)]
        if measured.shown == measured.setting and measured.of(session.plan) is None:
            side = "left" if here > 0.7 * self._right else "right"
            error = session.summary.relative_error
            estimate = session.snapshot.estimate
            for metric in self.metrics:
                value = measured.predicted(session.plan, error, metric)
                if estimate is not None and metric == "robust":
                    shapes.append(
                        fronts.upper_bound_mark(here, 100 * estimate.robust, outwards=side)
                    )
                elif estimate is not None:
                    shapes.append(fronts.estimate_mark(here, 100 * estimate.clean))
                elif value is not None:
                    shapes.append(fronts.prediction_mark(here, 100 * value, outwards=side))
        return shapes

    def _clicked(self, place: int, points: Any) -> None:
        if not points.point_inds:
            return
        info = self._infos[METRIC_OF[place]]
        index = self.figure.data[place].customdata[points.point_inds[0]]
        with self._session.show_errors():
            self._session.show(info.records[int(index)].plan)
