"""The panel "Sensitivity": one layer compressed at a time, and whether its error foretold it."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import ipywidgets as w
import plotly.graph_objects as go

from gdws_explorer.figures import correlation_scatter as scatters
from gdws_explorer.figures import layerwise_curves as lines
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.session import Session
from gdws_explorer.study import layerwise
from gdws_explorer.study.rank_correlation import RankCorrelation, spearman
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, labelled, on, row
from gdws_explorer.widgets.job_controls import JobControls
from gdws_explorer.widgets.panels import sensitivity_text as words

ABOUT = "layer by layer"
ALL, ONE = "all", "one"
BEST = ""


class SensitivityPanel:
    """Accuracy against budget of every layer alone, and the analytic error against the loss."""

    title: ClassVar[str] = "Sensitivity"
    tip: ClassVar[str] = (
        "Which layers can be cut, and whether the error knows: one layer compressed at a time"
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawing = threading.RLock()
        self._progress: layerwise.LayerwiseProgress | None = None
        self._planned: tuple[layerwise.LayerStep, ...] = ()
        self._planned_for: object = None
        self._was_working = False
        self._family = labelled(
            w.Dropdown, "family", 42, 190,
            options=[("best per budget", BEST), *((x.label, name) for name, x in FAMILIES.items())],
            tooltip="How the one layer is approximated at each budget",
        )  # fmt: skip
        self._which = labelled(
            w.Dropdown, "layers", 42, 170, options=[("all layers", ALL), ("the chosen one", ONE)],
        )  # fmt: skip
        self._metric = labelled(
            w.Dropdown, "accuracy", 64, 160, options=["robust", "clean"],
            tooltip="Of the grey lines, and of the points on the right",
        )  # fmt: skip
        self._kind = labelled(
            w.Dropdown, "error", 36, 220,
            options=[(text, kind) for kind, text in layerwise.ERRORS.items()],
        )  # fmt: skip
        self._measure = button("Measure", "play", "Measure in the background what is missing", 96)
        self._measure.button_style = "primary"
        self._text = w.HTML()
        self._run = run = JobControls(
            session, self._measure, self._text, "Stop; what is measured so far is kept"
        )
        self._caption, self._said = w.HTML(), w.HTML()
        on(session, self._measure, self._go)
        self._learn()
        self._curves = Figure(self._draw_curves())
        self._scatter = Figure(self._draw_scatter())
        for trace in (*self._curves.data, *self._scatter.data):
            trace.on_click(self._clicked)
        for widget in (self._family, self._which, self._metric, self._kind):
            widget.observe(lambda _change: self.refresh("records"), "value")
        left = w.VBox([self._curves, self._caption])
        right = w.VBox([self._scatter, self._said])
        columns = w.Box([left, right])
        columns.add_class("gx-columns")
        left.add_class("gx-column")
        right.add_class("gx-column")
        self.box = w.VBox(
            [
                row(self._family, self._which, self._measure, run.cancel, run.bar, self._text),
                row(self._metric, self._kind),
                columns,
            ]
        )
        self._show_job()
        self._show_words()

    def refresh(self, what: str) -> None:
        """Follow the session; a fader that moves changes nothing here."""
        with self._drawing:
            if what == "job":
                if self._run.alive or self._was_working:  # others' jobs report many times a second
                    self._show_job()
            elif what == "records" or (what in ("plan", "selection") and self._stale):
                self._learn()
                self._show()
            elif what in ("plan", "selection") and self._shown != self._session.controls.selected:
                self._show()

    # -- what is drawn ---------------------------------------------------------------------

    @property
    def _stale(self) -> bool:
        """Whether the plan is made from another source, and so are its errors."""
        return self._planned_for != self._wanted

    @property
    def _wanted(self) -> tuple[str | None, str]:
        return self._session.network.label, self._family.value

    @property
    def _shown_metric(self) -> str:
        return "clean" if self._session.measurements.attack is None else self._metric.value

    def _steps(self) -> tuple[layerwise.LayerStep, ...]:
        """All layers' steps in the chosen family."""
        if self._stale:
            family = self._family.value
            self._planned_for = self._wanted
            self._planned = layerwise.steps(
                self._session.network, families=None if family == BEST else (family,)
            )
        return self._planned

    def _learn(self) -> None:
        """Read what is measured, and compare it with the errors."""
        session, kind, metric = self._session, self._kind.value, self._shown_metric
        curves = layerwise.curves(session.measurements, self._steps())
        of = "kernel" if session.network.calibration is None else "output"
        self._info = lines.info(curves, kind, of)
        self._agreement: RankCorrelation = spearman(
            [curve.analytic(kind) for curve in curves], [curve.loss(metric) for curve in curves]
        )

    def _draw_curves(self) -> go.Figure:
        self._shown = self._session.controls.selected
        return lines.figure(self._info, self._shown, self._shown_metric)

    def _draw_scatter(self) -> go.Figure:
        return scatters.figure(
            scatters.info(self._info, self._agreement, self._shown, self._shown_metric)
        )

    def _show(self) -> None:
        """Bring both figures up to date; only what changed is sent."""
        self._curves.redraw(self._draw_curves())
        self._scatter.redraw(self._draw_scatter())
        self._show_job()
        self._show_words()

    def _show_words(self) -> None:
        self._caption.value = words.caption(self._info, self._shown_metric)
        self._said.value = words.said(self._agreement, self._info, self._shown_metric)
        self._metric.disabled = self._session.measurements.attack is None

    # -- measuring ----------------------------------------------------------------------------

    def _asked(self) -> tuple[layerwise.LayerStep, ...]:
        """The steps that the button would measure."""
        only = None if self._which.value == ALL else self._session.controls.selected
        return tuple(step for step in self._steps() if only in (None, step.layer))

    def _go(self) -> None:
        session = self._session
        work = layerwise.task(session.measurements, session.network, self._asked(), self._heard)
        self._progress = None
        self._run.begin(ABOUT, work)
        self._show_job()

    def _heard(self, progress: layerwise.LayerwiseProgress) -> None:
        """A point more is measured; called from the worker."""
        self._progress = progress
        if progress.done:
            self._session.notify("records")

    def _show_job(self) -> None:
        """The bar while it runs, else what there is to measure."""
        session, job = self._session, self._run.job
        self._run.refresh()
        self._was_working = self._run.alive
        if job is not None and self._run.alive:
            self._text.value = words.running(job, self._progress)
            return
        able = session.measurements.data is not None
        asked = self._asked()
        todo = layerwise.missing(session.measurements, session.network, asked) if able else ()
        self._measure.disabled = not todo
        if job is None or job.error is None:
            seconds = measured_pace(session.measurements).seconds
            self._text.value = words.ahead(len(todo), len(asked), seconds, session)

    def _clicked(self, trace: Any, points: Any, _state: Any) -> None:
        if points.point_inds and trace.customdata is not None:
            name = trace.customdata[points.point_inds[0]]
            if name:
                with self._session.show_errors():
                    self._session.controls.select(str(name))
