"""Sweep and search: many plans measured in the background, and choosing among them."""

from __future__ import annotations

import time
from html import escape
from typing import Any, ClassVar

import ipywidgets as w

from gdws_explorer.errors import ExplorerError
from gdws_explorer.figures import record_charts as figures
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.study.executors import Execution
from gdws_explorer.study.job_estimate import JobEstimate, estimate_job
from gdws_explorer.study.records import Record
from gdws_explorer.study.study_job import StudyJob
from gdws_explorer.study.study_spec import StudySpec
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.form import button, on, refusal, row, told
from gdws_explorer.widgets.panels.record_filter_view import RecordFilterView
from gdws_explorer.widgets.panels.sweep_search_form import SweepSearchForm

RUNNING, COUNTING = "the sweep or search", "counting"
SEEN = 0.4  # seconds between two drawings while points arrive, at the least
RESTED = 4  # times as long as a drawing took: faders come first
HINT = (
    "Plans are measured in the background with the attack and images below the front; what is "
    "measured already is not measured again, and what arrives is kept whatever ends it."
)


class SweepSearchPanel:
    """The order, what it will take, its progress, and what may be done with what it brings."""

    title: ClassVar[str] = "Sweep & search"
    tip: ClassVar[str] = "Measure many plans in the background, and choose among them"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._queue = session.job_queue("many")
        self._counting = session.job_queue("counting")
        self._job: Job | None = None
        self._errand: StudyJob | None = None
        self._counted: Job | None = None
        self._next = 0.0
        self._form = SweepSearchForm(session, self._count)
        self._start = button("Start", "play", "Measure them in the background", 80)
        self._start.button_style = "primary"
        self._pause = button("Pause", "pause", "End the plan under way, begin no other", 92)
        self._cancel = button("Cancel", "stop", "Stop now; what is measured is kept", 84)
        self._one = button("Time one", "clock-o", "Measure the first plan, to know how long", 100)
        self._bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        self._expected, self._said = w.HTML(), w.HTML()
        self._growth = Figure(figures.growth_figure(figures.growth_info([])))
        self._grown = w.VBox([self._growth], layout=w.Layout(width="340px", display="none"))
        self._among = RecordFilterView(session)
        on(session, self._start, self._go)
        on(session, self._one, lambda: self._go(limit=1))
        on(session, self._pause, self._halt)
        on(session, self._cancel, self._queue.cancel)
        self._before = row(self._expected, self._one)
        orders = w.VBox(
            [
                w.HTML(f'<span class="gx-unit">{HINT}</span>'), self._form.box,
                self._before,
                row(self._start, self._pause, self._cancel, self._bar, self._said),
            ]
        )  # fmt: skip
        orders.add_class("gx-column")
        columns = w.Box([orders, self._grown])
        columns.add_class("gx-columns")
        self.box = w.VBox([columns, self._among.box])
        self._count()
        self.refresh("job")

    def refresh(self, what: str) -> None:
        """Follow the errand, the records and the filters."""
        if what in ("records", "filters"):
            self._among.refresh(what)
        if what == "records":
            self._draw()
            if self._setting != self._session.measurements.setting and not self._running:
                self._count()
        elif what == "job":
            self._follow()

    @property
    def _running(self) -> bool:
        return self._job is not None and self._job.alive

    def _follow(self) -> None:
        """Buttons, bar and words as the job stands."""
        job, running = self._job, self._running
        if job is not self._counted and not running:
            self._counted = job
            self._count()  # what it measured need not be measured again
            self._among.catch_up()
        self._before.layout.display = "none" if running else None
        self._start.disabled = self._one.disabled = running
        self._pause.disabled = self._cancel.disabled = not running
        self._bar.layout.display = None if running else "none"
        self._bar.value = job.fraction if job is not None and running else 0.0
        if job is None or self._errand is None:
            return
        paused = self._errand.paused
        self._pause.description = "Resume" if paused else "Pause"
        self._pause.icon = "play" if paused else "pause"
        self._said.value = refusal(job.error) if job.error else escape(_words(job, self._errand))

    def _draw(self) -> None:
        """The hypervolume so far; there is no figure before there is one."""
        if self._errand is None or not self._errand.records:
            return
        self._grown.layout.display = None
        history = self._errand.hypervolume_history
        self._growth.redraw(figures.growth_figure(figures.growth_info(history)))

    # -- before it starts ------------------------------------------------------------------

    def _count(self) -> None:
        """Say, beside everything else, how much the form asks for; the latest question wins."""
        self._setting = self._session.measurements.setting
        try:
            order = self._form.order()
        except ExplorerError as error:
            self._tell(refusal(error), False)
            return
        self._counting.cancel()

        def count(progress: Any, cancelled: Any) -> None:
            with told(self._expected):
                found = estimate_job(
                    order, self._session.measurements, self._session.views, cancelled
                )
                if not cancelled():
                    self._tell(_forecast(found), found.seconds is None or bool(found.guess))

        self._counting.submit(COUNTING, count)

    def _tell(self, text: str, unknown: bool) -> None:
        self._expected.value = text
        self._one.layout.display = None if unknown else "none"

    # -- on its way ------------------------------------------------------------------------

    def _go(self, limit: int | None = None) -> None:
        session = self._session
        order: StudySpec = self._form.order()
        self._errand = errand = StudyJob(
            order, session.measurements.evaluator(session.views.plain), session.views,
            session.measurements.store, known=session.measurements.bundled,
            execution=Execution(self._form.workers), limit=limit, on_record=self._arrived,
        )  # fmt: skip
        self._said.value = ""

        def work(progress: Any, cancelled: Any) -> None:
            try:
                errand.run(progress, cancelled)
            finally:
                session.notify("records")

        self._job = self._queue.submit(RUNNING, work)
        self.refresh("job")

    def _arrived(self, _record: Record) -> None:
        """Show it, unless something was shown just now: known records come a hundred at once.

        What comes during a pause is the last for a while, and shown with those before it.
        """
        began = time.monotonic()
        if began >= self._next or (self._errand is not None and self._errand.paused):
            self._session.notify("records")
            self._next = began + max(SEEN, (1 + RESTED) * (time.monotonic() - began))

    def _halt(self) -> None:
        if self._errand is not None:
            if self._errand.paused:
                self._errand.resume()
            else:
                self._errand.pause()
                self._session.notify("records")
            self.refresh("job")


def _forecast(found: JobEstimate) -> str:
    """How many plans and how long, as a sentence."""
    missing = found.total - found.known
    known = f", {found.known} of them measured already" if found.known else ""
    most = "at most " if found.at_most and found.known else ""
    text = f"{found.total} plans{known}: {most}<b>{missing} to measure</b>"
    if missing == 0:
        return f'{text}. <span class="gx-unit">Start shows them at once.</span>'
    if found.seconds is None:
        return f"{text}. Nobody knows yet how long: time one."
    guess = f" (a guess {escape(found.guess)})" if found.guess else ""
    return f"{text}, about <b>{duration(found.seconds)}</b>{guess}."


def _words(job: Job, errand: StudyJob) -> str:
    """Where the errand stands."""
    now = errand.progress
    total = "" if now.total is None else f" of {now.total}"
    count = f"{now.done}{total} plans"
    stage = f"{errand.stage}: " if errand.stage else ""
    if job.status == "done":
        return f"done: {now.measured} measured, {now.known} known before"
    if job.status == "cancelled":
        return f"cancelled after {count}; Start goes on from there"
    if job.status == "waiting":
        return "waiting"
    if job.cancelling:
        return f"stopping … {count}"
    if errand.paused:
        return f"paused at {stage}{count}"
    left = now.seconds_left
    return f"{stage}{count}" + ("" if left is None else f" · {duration(left)} left")
