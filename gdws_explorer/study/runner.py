"""Runs: many plans measured in one setting, by an executor.

Plans are taken from an iterable when the executor has room, and every record is stored as soon as
it exists. So a run that ends early loses only the measurements under way, and the same run started
again measures only what is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import Store
from gdws_explorer.typing import Cancel, Progress
from gdws_explorer.utils.cancel import stop_if

TICK = 0.2  # seconds between two checks for a pause or a stop


@dataclass(frozen=True)
class StudyProgress(Progress):
    """Progress of a study: a float, the finished fraction from 0 to 1, with its counts.

    measured : plans measured by this run. known : plans found in the store. total : all plans;
    None where their number is not known. under_way : finished fraction of the measurement that
    runs in this process. seconds : time worked so far, without pauses. reading : finished fraction
    of the calibration images, before the first plan. As a float it is `reading` until then, and 0
    where `total` is None.
    """

    measured: int = 0
    known: int = 0
    total: int | None = None
    under_way: float = 0.0
    seconds: float = 0.0
    reading: float = 0.0

    def __new__(
        cls,
        measured: int = 0,
        known: int = 0,
        total: int | None = None,
        under_way: float = 0.0,
        seconds: float = 0.0,
        reading: float = 0.0,
    ) -> StudyProgress:
        """Computes the fraction."""
        finished = measured + known + under_way
        made = float.__new__(cls, min(1.0, finished / total) if total else reading)
        object.__setattr__(made, "detail", None)  # the counts are attributes of its own
        return made

    @property
    def done(self) -> int:
        """The number of plans that have a record."""
        return self.measured + self.known

    @property
    def fraction(self) -> float:
        """The finished fraction, from 0 to 1."""
        return float(self)

    @property
    def seconds_left(self) -> float | None:
        """The estimated remaining seconds; None before anything was measured."""
        spent = self.measured + self.under_way
        if self.total is None or spent <= 0:
            return None
        return self.seconds / spent * max(0.0, self.total - self.done - self.under_way)


class Executor(Protocol):
    """An executor measures plans, in this process or in others."""

    @property
    def room(self) -> int:
        """The number of further plans that it accepts now."""

    @property
    def busy(self) -> bool:
        """Whether it has plans that are not measured yet."""

    def start(self, plan: Plan, summary: Summary) -> None:
        """Accepts a plan and its costs."""

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """Returns new records; waits up to `timeout` seconds for the first where it can."""

    def drop(self) -> None:
        """Drops every plan that is not measured yet."""


class StudyRun:
    """A run of plans in one setting, in their order, each measured only once.

    evaluator : how plans are measured. plans : of the evaluator's networks; a generator gives
    the next plan only when the executor has room, so it may use the records so far. store :
    says which records are known, and keeps the new ones. known : records of this setting from
    elsewhere, such as bundled ones. total : how many different plans there are, where `plans` is
    no list. record : called with every record, known or new. progress : called with a
    StudyProgress at every change. cancel : an Event or a function; ends the run with Cancelled.
    """

    def __init__(
        self,
        evaluator: PlanEvaluator,
        plans: Iterable[Plan],
        store: Store | None = None,
        *,
        known: Iterable[Record] = (),
        total: int | None = None,
        record: Callable[[Record], None] | None = None,
        progress: Callable[[StudyProgress], None] | None = None,
        cancel: Cancel = None,
    ) -> None:
        self.evaluator = evaluator
        if total is None and isinstance(plans, list | tuple):
            total = len({plan.hash for plan in plans})
        self._plans: Iterator[Plan] | None = iter(plans)
        self._store = Store() if store is None else store
        self._record = record
        self._report = progress
        self._cancel = cancel.is_set if isinstance(cancel, threading.Event) else cancel
        self._running = threading.Event()
        self._running.set()
        self._records: dict[str, Record | None] = {}  # None: under way
        self._known = {record.plan.hash: record for record in known}
        self.progress = StudyProgress(total=total)

    @property
    def records(self) -> tuple[Record, ...]:
        """The records so far, in the order of the plans."""
        return tuple(record for record in self._records.values() if record is not None)

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return not self._running.is_set()

    def pause(self) -> None:
        """Starts no further plan; plans under way are measured and stored."""
        self._running.clear()

    def resume(self) -> None:
        """Continues after a pause."""
        self._running.set()

    def run(self, executor: Executor) -> tuple[Record, ...]:
        """Measures what is missing, and returns the records in the order of the plans.

        Raises Cancelled, and the errors of a measurement; what was measured before is stored.
        """
        self._known |= {r.plan.hash: r for r in self._store.records(self.evaluator.setting)}
        try:
            while self._plans is not None or executor.busy:
                stop_if(self._cancel)
                self._fill(executor)
                started = time.monotonic() - self.progress.seconds  # without the pauses before
                if executor.busy:
                    for record in executor.finished(TICK, self._under_way(started), self._cancel):
                        self._keep(record)
                    self._update(seconds=time.monotonic() - started)
                elif self.paused:
                    self._running.wait(TICK)
        finally:
            executor.drop()
        return self.records

    def _fill(self, executor: Executor) -> None:
        """Gives plans to the executor while it has room; known plans need no room."""
        while self._plans is not None and executor.room > 0 and not self.paused:
            plan = next(self._plans, None)
            if plan is None:
                self._plans = None
            elif plan.hash in self._known and plan.hash not in self._records:
                self._deliver(self._known[plan.hash])
                self._update(known=self.progress.known + 1)
            elif plan.hash not in self._records:
                self._records[plan.hash] = None
                executor.start(plan, self.evaluator.network(plan).summary(plan))

    def _keep(self, record: Record) -> None:
        self._records[record.plan.hash] = record  # before the store, which may be full
        self._store.add(record)
        self._deliver(record)
        self._update(measured=self.progress.measured + 1, under_way=0.0)

    def _deliver(self, record: Record) -> None:
        self._records[record.plan.hash] = record
        if self._record is not None:
            self._record(record)

    def _under_way(self, started: float) -> Callable[[float], None]:
        def report(fraction: float) -> None:
            self._update(under_way=fraction, seconds=time.monotonic() - started)

        return report

    def _update(self, **changed: float) -> None:
        self.progress = replace(self.progress, **changed)  # type: ignore[arg-type]
        if self._report is not None:
            self._report(self.progress)


class LocalExecutor:
    """Executor in the calling process: it measures one plan after the other."""

    def __init__(self, evaluator: PlanEvaluator) -> None:
        self._evaluator = evaluator
        self._next: tuple[Plan, Summary] | None = None

    @property
    def room(self) -> int:
        """1, or 0 while there is a plan to measure."""
        return 0 if self.busy else 1

    @property
    def busy(self) -> bool:
        """Whether it has a plan to measure."""
        return self._next is not None

    def start(self, plan: Plan, summary: Summary) -> None:
        """Accepts a plan and its costs."""
        self._next = plan, summary

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """Measures the plan now, however long it takes."""
        assert self._next is not None
        record = self._evaluator.measure(*self._next, progress=progress, cancel=cancel)
        self._next = None
        return [record]

    def drop(self) -> None:
        """Drops the plan."""
        self._next = None
