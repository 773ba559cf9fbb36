"""The panel "Sensitivity": one layer compressed at a time, its accuracy and its analytic error."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import ipywidgets as w
import plotly.graph_objects as go

from gdws_explorer.figures import correlation_scatter, layerwise_curves
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.study import layerwise
from gdws_explorer.study.rank_correlation import RankCorrelation, spearman
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, labelled, on, row
from gdws_explorer.widgets.job_controls import JobControls
from gdws_explorer.widgets.panels import sensitivity_text

JOB_TITLE = "layer by layer"
ALL_LAYERS, CHOSEN_LAYER = "all", "one"
BEST = ""  # the family with the least error at each budget


class SensitivityPanel:
    """Accuracy of every layer by its budget, and the analytic error against the measured loss.

    family, layers : inputs of what is measured. metric, error : inputs of what is drawn.
    measure_button : starts the measurements. status : their progress, or how many are missing.
    controls : progress bar and Cancel. progress : the latest LayerwiseProgress, or None.
    curves, scatter : the two figures. caption, correlation : texts below them.
    """

    title: ClassVar[str] = "Sensitivity"
    tip: ClassVar[str] = (
        "Compress one layer at a time: which layers are sensitive, and does the error predict it?"
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawing = threading.RLock()
        self.progress: layerwise.LayerwiseProgress | None = None
        self._steps: tuple[layerwise.LayerStep, ...] = ()
        self._steps_key: object = None  # what the steps depend on
        self._was_alive = False
        self._make_inputs()
        self.status, self.caption, self.correlation = w.HTML(), w.HTML(), w.HTML()
        self.controls = JobControls(
            session, self.measure_button, self.status, "Stop; finished measurements are kept"
        )
        on(session, self.measure_button, self._measure)
        self._update_data()
        self.curves = Figure(self._draw_curves())
        self.scatter = Figure(self._draw_scatter())
        for trace in (*self.curves.data, *self.scatter.data):
            trace.on_click(self._select_layer)
        for widget in (self.family, self.layers, self.metric, self.error):
            widget.observe(lambda _change: self.refresh("records"), "value")
        left = w.VBox([self.curves, self.caption])
        right = w.VBox([self.scatter, self.correlation])
        columns = w.Box([left, right])
        columns.add_class("gx-columns")
        left.add_class("gx-column")
        right.add_class("gx-column")
        controls = self.controls
        self.box = w.VBox(
            [
                row(
                    self.family, self.layers, self.measure_button, controls.cancel_button,
                    controls.bar, self.status,
                ),
                row(self.metric, self.error),
                columns,
            ]
        )  # fmt: skip
        self._show_job()
        self._show_texts()

    def refresh(self, event: Event) -> None:
        """Shows records, job and selected layer; a moved slider changes nothing here."""
        with self._drawing:
            if event == "job":
                if self.controls.alive or self._was_alive:  # not for every report of other jobs
                    self._show_job()
            elif event == "records" or (event in ("plan", "selection") and self._outdated):
                self._update_data()
                self._redraw()
            elif event in ("plan", "selection") and self._drawn_layer != self._selected:
                self._redraw()

    @property
    def steps(self) -> tuple[layerwise.LayerStep, ...]:
        """The steps of all layers in the chosen family."""
        if self._outdated:
            family = self.family.value
            self._steps_key = self._present_key
            self._steps = layerwise.steps(
                self._session.network, families=None if family == BEST else (family,)
            )
        return self._steps

    # -- figures and texts -----------------------------------------------------------------

    def _make_inputs(self) -> None:
        families = [("best per budget", BEST), *((x.label, name) for name, x in FAMILIES.items())]
        self.family = labelled(
            w.Dropdown, "family", 42, 190, options=families,
            tooltip="The family of the compressed layer",
        )  # fmt: skip
        self.layers = labelled(
            w.Dropdown, "layers", 42, 170,
            options=[("all layers", ALL_LAYERS), ("the chosen one", CHOSEN_LAYER)],
        )  # fmt: skip
        self.metric = labelled(
            w.Dropdown, "accuracy", 64, 160, options=["robust", "clean"],
            tooltip="The accuracy of the grey lines and of the points on the right",
        )  # fmt: skip
        self.error = labelled(
            w.Dropdown, "error", 36, 220,
            options=[(label, kind) for kind, label in layerwise.ERRORS.items()],
        )  # fmt: skip
        self.measure_button = button(
            "Measure", "play", "Measure the missing plans in the background", 96
        )
        self.measure_button.button_style = "primary"

    @property
    def _selected(self) -> str:
        return self._session.controls.selected

    @property
    def _outdated(self) -> bool:
        """Whether the steps are those of another source or family."""
        return self._steps_key != self._present_key

    @property
    def _present_key(self) -> tuple[str | None, str]:
        return self._session.network.label, self.family.value

    @property
    def _drawn_metric(self) -> str:
        return "clean" if self._session.measurements.attack is None else self.metric.value

    def _update_data(self) -> None:
        """Computes the curves of the records, and the correlation with the errors."""
        session, kind, metric = self._session, self.error.value, self._drawn_metric
        curves = layerwise.curves(session.measurements, self.steps)
        of = "kernel" if session.network.calibration is None else "output"
        self._info = layerwise_curves.info(curves, kind, of)
        self._rho: RankCorrelation = spearman(
            [curve.analytic(kind) for curve in curves], [curve.loss(metric) for curve in curves]
        )

    def _draw_curves(self) -> go.Figure:
        self._drawn_layer = self._selected
        return layerwise_curves.figure(self._info, self._drawn_layer, self._drawn_metric)

    def _draw_scatter(self) -> go.Figure:
        return correlation_scatter.figure(
            correlation_scatter.info(self._info, self._rho, self._drawn_layer, self._drawn_metric)
        )

    def _redraw(self) -> None:
        """Updates both figures; only what changed is sent."""
        self.curves.redraw(self._draw_curves())
        self.scatter.redraw(self._draw_scatter())
        self._show_job()
        self._show_texts()

    def _show_texts(self) -> None:
        self.caption.value = sensitivity_text.caption_text(self._info, self._drawn_metric)
        self.correlation.value = sensitivity_text.correlation_text(
            self._rho, self._info, self._drawn_metric
        )
        self.metric.disabled = self._session.measurements.attack is None

    def _select_layer(self, trace: Any, points: Any, _state: Any) -> None:
        """Selects the layer of a clicked point."""
        if points.point_inds and trace.customdata is not None:
            name = trace.customdata[points.point_inds[0]]
            if name:
                with self._session.show_errors():
                    self._session.controls.select(str(name))

    # -- measuring -------------------------------------------------------------------------

    def _chosen_steps(self) -> tuple[layerwise.LayerStep, ...]:
        """The steps that the button measures."""
        only = None if self.layers.value == ALL_LAYERS else self._selected
        return tuple(step for step in self.steps if only in (None, step.layer))

    def _measure(self) -> None:
        session = self._session
        work = layerwise.task(
            session.measurements, session.network, self._chosen_steps(), self._show_progress
        )
        self.progress = None
        self.controls.start(JOB_TITLE, work)
        self._show_job()

    def _show_progress(self, progress: layerwise.LayerwiseProgress) -> None:
        """Shows another measured step; called in the worker thread."""
        self.progress = progress
        if progress.done:
            self._session.notify("records")

    def _show_job(self) -> None:
        """Shows the job's progress while it runs, else how many plans are missing."""
        session, job = self._session, self.controls.job
        self.controls.refresh()
        self._was_alive = self.controls.alive
        if job is not None and self.controls.alive:
            self.status.value = sensitivity_text.status_text(job, self.progress)
            return
        chosen = self._chosen_steps()
        missing: tuple[Any, ...] = ()
        if session.measurements.data is not None:
            missing = layerwise.missing(session.measurements, session.network, chosen)
        self.measure_button.disabled = not missing
        if job is None or job.error is None:
            seconds = measured_pace(session.measurements).seconds
            self.status.value = sensitivity_text.forecast_text(
                len(missing), len(chosen), seconds, session
            )
