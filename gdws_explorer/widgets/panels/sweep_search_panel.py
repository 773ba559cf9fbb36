"""The panel "Sweep & search": many plans measured in the background, and filters over them."""

from __future__ import annotations

import time
from html import escape
from typing import Any, ClassVar

import ipywidgets as w

from gdws_explorer.errors import ExplorerError
from gdws_explorer.figures import record_charts
from gdws_explorer.session.events import Event
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.study.executors import Execution
from gdws_explorer.study.job_estimate import JobEstimate, estimate_job
from gdws_explorer.study.records import Record
from gdws_explorer.study.study_job import StudyJob
from gdws_explorer.study.study_spec import StudySpec
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, error_text, errors_in, on, row
from gdws_explorer.widgets.panels.record_filter_view import RecordFilterView
from gdws_explorer.widgets.panels.sweep_search_form import SweepSearchForm

JOB_TITLE, ESTIMATE_TITLE = "the sweep or search", "counting the plans"
INTERVAL = 0.4  # least seconds between two drawings while records arrive
IDLE_FACTOR = 4  # idle time after a drawing, as a multiple of its duration, so that sliders work
HINT = (
    "Plans are measured in the background with the attack and the images below the front. Plans "
    "that are measured already are not measured again, and every record is stored at once."
)


class SweepSearchPanel:
    """A form, an estimate of the work, the job with its progress, and filters over the records.

    form : the inputs. forecast : how many plans, and how long. start_button, pause_button,
    cancel_button, time_button : the buttons. bar, status : progress as a bar and as text.
    hypervolume : its figure. record_filter_view : the filters. job_queue, estimate_queue : of the
    job and of the estimates. job : the latest job, or None.
    """

    title: ClassVar[str] = "Sweep & search"
    tip: ClassVar[str] = "Measure many plans in the background, and choose one of them"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.job_queue = session.job_queue("many")
        self.estimate_queue = session.job_queue("counting")
        self.job: Job | None = None
        self._study: StudyJob | None = None
        self._estimated_after: Job | None = None  # the job after which the estimate was made
        self._next_drawing = 0.0
        self.form = SweepSearchForm(session, self._estimate)
        self._make_buttons()
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self.forecast, self.status = w.HTML(), w.HTML()
        self.hypervolume = Figure(record_charts.growth_figure(record_charts.growth_info([])))
        self._right = w.VBox([self.hypervolume], layout=w.Layout(width="340px", display="none"))
        self.record_filter_view = RecordFilterView(session)
        self._before = row(self.forecast, self.time_button)
        left = w.VBox(
            [
                w.HTML(f'<span class="gx-unit">{HINT}</span>'), self.form.box,
                self._before,
                row(
                    self.start_button, self.pause_button, self.cancel_button, self.bar,
                    self.status,
                ),
            ]
        )  # fmt: skip
        left.add_class("gx-column")
        columns = w.Box([left, self._right])
        columns.add_class("gx-columns")
        self.box = w.VBox([columns, self.record_filter_view.box])
        self._estimate()
        self.refresh("job")

    def refresh(self, event: Event) -> None:
        """Shows the job, the records and the filters."""
        if event in ("records", "filters"):
            self.record_filter_view.refresh(event)
        if event == "records":
            self._draw()
            setting = self._session.measurements.setting
            if self._estimated_setting != setting and not self._alive:
                self._estimate()
        elif event == "job":
            self._show_job()

    @property
    def _alive(self) -> bool:
        return self.job is not None and self.job.alive

    def _make_buttons(self) -> None:
        session = self._session
        self.start_button = button("Start", "play", "Measure the plans in the background", 80)
        self.start_button.button_style = "primary"
        self.pause_button = button(
            "Pause", "pause", "Finish the plan that is measured now, and start no other", 92
        )
        self.cancel_button = button("Cancel", "stop", "Stop now; all records are kept", 84)
        self.time_button = button(
            "Time one", "clock-o", "Measure the first plan, to estimate the time of all", 100
        )
        on(session, self.start_button, self._start)
        on(session, self.time_button, lambda: self._start(limit=1))
        on(session, self.pause_button, self._pause_or_resume)
        on(session, self.cancel_button, self.job_queue.cancel)

    def _show_job(self) -> None:
        """Shows the state of the job in buttons, bar and text."""
        job, alive = self.job, self._alive
        if job is not self._estimated_after and not alive:
            self._estimated_after = job
            self._estimate()  # what the job measured need not be measured again
            self.record_filter_view.catch_up()
        self._before.layout.display = "none" if alive else None
        self.start_button.disabled = self.time_button.disabled = alive
        self.pause_button.disabled = self.cancel_button.disabled = not alive
        self.bar.layout.display = None if alive else "none"
        self.bar.value = job.fraction if job is not None and alive else 0.0
        if job is None or self._study is None:
            return
        paused = self._study.paused
        self.pause_button.description = "Resume" if paused else "Pause"
        self.pause_button.icon = "play" if paused else "pause"
        self.status.value = (
            error_text(job.error) if job.error else escape(status_text(job, self._study))
        )

    def _draw(self) -> None:
        """Draws the hypervolume; the figure is hidden while there is none."""
        if self._study is None or not self._study.records:
            return
        self._right.layout.display = None
        growth = record_charts.growth_info(self._study.hypervolume_history)
        self.hypervolume.redraw(record_charts.growth_figure(growth))

    # -- the estimate ----------------------------------------------------------------------

    def _estimate(self) -> None:
        """Estimates the work of the form in the background; an older estimate is cancelled."""
        self._estimated_setting = self._session.measurements.setting
        try:
            spec = self.form.spec()
        except ExplorerError as error:
            self._show_forecast(error_text(error), False)
            return
        self.estimate_queue.cancel()

        def estimate(progress: Any, cancelled: Any) -> None:
            with errors_in(self.forecast):
                found = estimate_job(
                    spec, self._session.measurements, self._session.views, cancelled
                )
                if not cancelled():
                    inexact = found.seconds is None or bool(found.guess)
                    self._show_forecast(forecast_text(found), inexact)

        self.estimate_queue.submit(ESTIMATE_TITLE, estimate)

    def _show_forecast(self, html: str, inexact: bool) -> None:
        """Shows an estimate. inexact : whether timing one plan would improve it."""
        self.forecast.value = html
        self.time_button.layout.display = None if inexact else "none"

    # -- the job ---------------------------------------------------------------------------

    def _start(self, limit: int | None = None) -> None:
        session = self._session
        spec: StudySpec = self.form.spec()
        self._study = study = StudyJob(
            spec, session.measurements.evaluator(session.views.plain), session.views,
            session.measurements.store, known=session.measurements.bundled,
            execution=Execution(self.form.workers), limit=limit, on_record=self._show_record,
        )  # fmt: skip
        self.status.value = ""

        def work(progress: Any, cancelled: Any) -> None:
            try:
                study.run(progress, cancelled)
            finally:
                session.notify("records")

        self.job = self.job_queue.submit(JOB_TITLE, work)
        self.refresh("job")

    def _show_record(self, _record: Record) -> None:
        """Draws a new record, unless the last drawing was a short time ago.

        Known records arrive many at once. A record that arrives during a pause is always drawn,
        because no other follows it soon.
        """
        now = time.monotonic()
        if now >= self._next_drawing or (self._study is not None and self._study.paused):
            self._session.notify("records")
            duration_of_drawing = time.monotonic() - now
            self._next_drawing = now + max(INTERVAL, (1 + IDLE_FACTOR) * duration_of_drawing)

    def _pause_or_resume(self) -> None:
        if self._study is not None:
            if self._study.paused:
                self._study.resume()
            else:
                self._study.pause()
                self._session.notify("records")
            self.refresh("job")


def forecast_text(estimate: JobEstimate) -> str:
    """Returns how many plans have to be measured and how long that takes, as HTML."""
    missing = estimate.total - estimate.known
    known = f", {estimate.known} of them measured already" if estimate.known else ""
    most = "at most " if estimate.at_most and estimate.known else ""
    text = f"{estimate.total} plans{known}: {most}<b>{missing} to measure</b>"
    if missing == 0:
        return f'{text}. <span class="gx-unit">Start shows them at once.</span>'
    if estimate.seconds is None:
        return f"{text}. The time is not known yet. Time one plan to estimate it."
    guess = f" (a guess {escape(estimate.guess)})" if estimate.guess else ""
    return f"{text}, about <b>{duration(estimate.seconds)}</b>{guess}."


def status_text(job: Job, study: StudyJob) -> str:
    """Returns the progress or the result of a job."""
    now = study.progress
    total = "" if now.total is None else f" of {now.total}"
    count = f"{now.done}{total} plans"
    stage = f"{study.stage}: " if study.stage else ""
    if job.status == "done":
        return f"done: {now.measured} measured, {now.known} known before"
    if job.status == "cancelled":
        return f"cancelled after {count}; Start continues from there"
    if job.status == "waiting":
        return "waiting"
    if job.cancelling:
        return f"stopping … {count}"
    if study.paused:
        return f"paused at {stage}{count}"
    left = now.seconds_left
    return f"{stage}{count}" + ("" if left is None else f" · {duration(left)} left")
