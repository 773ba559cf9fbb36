"""Many plans measured in one setting: the one job that sweeps, searches and the widget run.

Plans are taken from an iterable as there is room for them, and every record is kept the moment it
is there. So whatever ends a batch loses what was under way and nothing else, and the same batch
begun again measures only what is missing.
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
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if

TICK = 0.2  # seconds between two looks at whether to pause or stop


@dataclass(frozen=True)
class StudyProgress:
    """How far a batch is.

    measured : here and now. known : found in the store. total : plans in all, None where nobody
    knows. under_way : the fraction that is done of an evaluation in this process. seconds : worked
    so far, pauses left out.
    """

    measured: int = 0
    known: int = 0
    total: int | None = None
    under_way: float = 0.0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Plans that have a record."""
        return self.measured + self.known

    @property
    def fraction(self) -> float:
        """From 0 to 1; 0 where nobody knows how many plans there are."""
        return min(1.0, (self.done + self.under_way) / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate from what was measured so far; None before anything was."""
        spent = self.measured + self.under_way
        if self.total is None or spent <= 0:
            return None
        return self.seconds / spent * max(0.0, self.total - self.done - self.under_way)


class Executor(Protocol):
    """Who measures: this process, or others."""

    @property
    def room(self) -> int:
        """How many more plans it takes now."""

    @property
    def busy(self) -> bool:
        """Whether it has plans that are not measured yet."""

    def start(self, plan: Plan, summary: Summary) -> None:
        """Take a plan and its costs."""

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """What is measured now, waiting up to `timeout` seconds for the first where it can."""

    def drop(self) -> None:
        """Forget every plan that is not measured yet."""


class StudyRun:
    """Plans measured in one setting, in the order in which they come, each only once.

    meter : how. plans : of the meter's networks; a generator is asked for the next plan when there
    is room to measure it, so it may look at the records so far. store : asked for what is known,
    and given what is new. known : records of this setting from elsewhere, such as bundled ones.
    total : how many different plans there are, where `plans` cannot say. record : called with
    every record, known or new. progress : called whenever it moves. cancel : an Event or a
    function; ends the batch with Cancelled.
    """

    def __init__(
        self,
        meter: PlanEvaluator,
        plans: Iterable[Plan],
        store: Store | None = None,
        *,
        known: Iterable[Record] = (),
        total: int | None = None,
        record: Callable[[Record], None] | None = None,
        progress: Callable[[StudyProgress], None] | None = None,
        cancel: Cancel = None,
    ) -> None:
        self.meter = meter
        if total is None and isinstance(plans, list | tuple):
            total = len({plan.hash for plan in plans})
        self._plans: Iterator[Plan] | None = iter(plans)
        self._store = Store() if store is None else store
        self._record = record
        self._say = progress
        self._cancel = cancel.is_set if isinstance(cancel, threading.Event) else cancel
        self._going = threading.Event()
        self._going.set()
        self._records: dict[str, Record | None] = {}  # None: under way
        self._known = {one.plan.hash: one for one in known}
        self.progress = StudyProgress(total=total)

    @property
    def records(self) -> tuple[Record, ...]:
        """What is measured so far, in the order of the plans."""
        return tuple(record for record in self._records.values() if record is not None)

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Begin no further plan; what is under way is measured and kept."""
        self._going.clear()

    def resume(self) -> None:
        """Go on after a pause."""
        self._going.set()

    def run(self, crew: Executor) -> tuple[Record, ...]:
        """Measure what is missing, and return the records in the order of the plans.

        Raises Cancelled, and whatever a measurement raises; what was measured before is kept.
        """
        self._known |= {one.plan.hash: one for one in self._store.records(self.meter.setting)}
        try:
            while self._plans is not None or crew.busy:
                stop_if(self._cancel)
                self._fill(crew)
                begun = time.monotonic() - self.progress.seconds  # as if nothing had paused it
                if crew.busy:
                    for record in crew.finished(TICK, self._under_way(begun), self._cancel):
                        self._keep(record)
                    self._move(seconds=time.monotonic() - begun)
                elif self.paused:
                    self._going.wait(TICK)
        finally:
            crew.drop()
        return self.records

    def _fill(self, crew: Executor) -> None:
        """Hand plans to the crew while it has room; what is known needs none."""
        while self._plans is not None and crew.room > 0 and not self.paused:
            plan = next(self._plans, None)
            if plan is None:
                self._plans = None
            elif plan.hash in self._known and plan.hash not in self._records:
                self._deliver(self._known[plan.hash])
                self._move(known=self.progress.known + 1)
            elif plan.hash not in self._records:
                self._records[plan.hash] = None
                crew.start(plan, self.meter.network(plan).summary(plan))

    def _keep(self, record: Record) -> None:
        self._records[record.plan.hash] = record  # before the store, which may be full
        self._store.add(record)
        self._deliver(record)
        self._move(measured=self.progress.measured + 1, under_way=0.0)

    def _deliver(self, record: Record) -> None:
        self._records[record.plan.hash] = record
        if self._record is not None:
            self._record(record)

    def _under_way(self, begun: float) -> Callable[[float], None]:
        def say(fraction: float) -> None:
            self._move(under_way=fraction, seconds=time.monotonic() - begun)

        return say

    def _move(self, **changed: float) -> None:
        self.progress = replace(self.progress, **changed)  # type: ignore[arg-type]
        if self._say is not None:
            self._say(self.progress)


class LocalExecutor:
    """The process that asks measures, one plan after the other."""

    def __init__(self, meter: PlanEvaluator) -> None:
        self._meter = meter
        self._next: tuple[Plan, Summary] | None = None

    @property
    def room(self) -> int:
        """One plan at a time."""
        return 0 if self.busy else 1

    @property
    def busy(self) -> bool:
        """Whether it has a plan to measure."""
        return self._next is not None

    def start(self, plan: Plan, summary: Summary) -> None:
        """Take a plan and its costs."""
        self._next = plan, summary

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """Measure the plan now, however long it takes."""
        assert self._next is not None
        record = self._meter.measure(*self._next, progress=progress, cancel=cancel)
        self._next = None
        return [record]

    def drop(self) -> None:
        """Forget the plan."""
        self._next = None
