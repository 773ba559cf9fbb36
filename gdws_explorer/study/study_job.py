"""The job behind gx.sweep, gx.search, the command line and the panel: a study and its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.study.executors import Execution
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record
from gdws_explorer.study.runner import StudyProgress, StudyRun
from gdws_explorer.study.search import Search
from gdws_explorer.study.storage.store import Store
from gdws_explorer.study.study_spec import SearchSpec, StudySpec
from gdws_explorer.typing import Cancel, FloatArray

INTERVAL = 0.1  # seconds between two reports of progress
READING = "reading images"
SCREENING = "screening"
LAST_STAGE = "the front under the strong attack"


class StudyJob:
    """A study that runs: its plans are measured one after the other, and the records are stored.

    Plans from data are made from images that are read under `calibration_attack` of the attack
    that plans are measured with, whatever starts the job: so a study that one program began can be
    continued by another.

    spec : what to measure. evaluator : how plans are measured in the last stage; the plans are of
    the views that the spec names. views : the network and its calibration images. store : keeps
    the records, and says which are known; in memory unless given. known : records from elsewhere,
    such as bundled ones. execution : where plans are measured. limit : end after so many new
    records. on_record : called with every record, new or known.
    """

    def __init__(
        self,
        spec: StudySpec,
        evaluator: PlanEvaluator,
        views: NetworkViews,
        store: Store | None = None,
        *,
        known: Iterable[Record] = (),
        execution: Execution | None = None,
        limit: int | None = None,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        self.spec = spec
        self.stage = ""
        self.stages: list[list[Record]] = []  # see `results`
        self.objectives: Objectives | None = None
        self.progress = StudyProgress()
        self._evaluator = evaluator
        self._views = views
        self._store = Store() if store is None else store
        self._bundled = tuple(known)
        self._execution = Execution() if execution is None else execution
        self._limit = limit
        self._on_record = on_record
        self._run: StudyRun | None = None
        self._running = threading.Event()
        self._running.set()
        self._reported = 0.0

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return not self._running.is_set()

    def pause(self) -> None:
        """Starts no further plan; plans under way are measured and stored."""
        self._running.clear()
        if self._run is not None:
            self._run.pause()

    def resume(self) -> None:
        """Continues after a pause."""
        self._running.set()
        if self._run is not None:
            self._run.resume()

    @property
    def results(self) -> tuple[tuple[Record, ...], ...]:
        """The records of every stage; those of proposed plans as they arrived, others by plan."""
        return tuple(map(tuple, self.stages))

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of the first stage, in the order of their arrival."""
        return tuple(self.stages[0]) if self.stages else ()

    @property
    def front(self) -> tuple[Record, ...]:
        """The non-dominated records of the latest stage that satisfy the constraints."""
        if self.objectives is None or not self.stages:
            return ()
        return self.objectives.front(self.stages[-1])

    @property
    def hypervolume_history(self) -> FloatArray:
        """The hypervolume after every record of the first stage: `(n,)`."""
        if self.objectives is None:
            return np.empty(0)
        return self.objectives.hypervolume_history(self.records)

    def run(
        self, progress: Callable[[StudyProgress], None] | None = None, cancel: Cancel = None
    ) -> None:
        """Measures the plans; the records are in `stages`, and in the store.

        progress : called with a StudyProgress, at most ten times a second and at every stage's
        end. Raises Cancelled, and the errors of calibration and measurement; what was measured
        until then is stored, and the same job made again continues from there.
        """
        stop = cancel.is_set if isinstance(cancel, threading.Event) else cancel
        last = self._with_views(progress, stop)
        first, *later = self.spec.stages(last)
        networks = last.networks
        if isinstance(self.spec, SearchSpec):
            search = self.spec.search(networks)
            self.objectives = search.objectives
            self.stage = SCREENING if later else ""
            self._measure(first, search, progress, stop)
        else:
            accuracy = "clean" if last.attack is None else "robust"
            self.objectives = Objectives(networks[0], (accuracy, "macs"))
            self.stage = ""
            self._measure(first, self.spec.plans(networks), progress, stop)
        if self._limit is not None:
            return
        for evaluator in later:
            self.stage = LAST_STAGE if evaluator is last else SCREENING
            plans = tuple(record.plan for record in self.front)
            self._measure(evaluator, plans, progress, stop)

    def _with_views(
        self, progress: Callable[[StudyProgress], None] | None, cancel: Callable[[], bool] | None
    ) -> PlanEvaluator:
        """Returns the evaluator of the spec's network views, whose images are read now."""
        spec = self.spec
        self.stage = READING if spec.sources != ("weights",) or spec.alpha else ""

        def report(fraction: float) -> None:
            if progress is not None:
                progress(StudyProgress(reading=float(fraction)))

        under = calibration_attack(self._evaluator.attack)
        networks = self._views.views(
            spec.sources, under, alpha=spec.alpha, progress=report, cancel=cancel
        )
        return replace(self._evaluator, networks=networks)

    def _measure(
        self,
        evaluator: PlanEvaluator,
        plans: Search | tuple[Plan, ...],
        progress: Callable[[StudyProgress], None] | None,
        cancel: Callable[[], bool] | None,
    ) -> None:
        """Measures plans, or those that a search proposes, as one stage."""
        records: list[Record] = []
        self.stages.append(records)
        known = [record for record in self._bundled if record.setting == evaluator.setting]
        search = plans if isinstance(plans, Search) else None
        total = len(plans) if isinstance(plans, tuple) else plans.evaluations
        proposed: Iterable[Plan] = plans.plans() if isinstance(plans, Search) else plans
        if self._limit is not None:
            stored = self._store.records(evaluator.setting)
            hashes = {record.plan.hash for record in (*known, *stored)}
            proposed = _until_new(proposed, hashes, self._limit)

        def keep(record: Record) -> None:
            if search is not None:
                search.tell(record)
            records.append(record)
            if self._on_record is not None:
                self._on_record(record)

        def report(now: StudyProgress, last: bool = False) -> None:
            self.progress = now
            moment = time.monotonic()
            if last or moment - self._reported >= INTERVAL or now.done == now.total:
                self._reported = moment
                if progress is not None:
                    progress(now)

        self._run = run = StudyRun(
            evaluator,
            proposed,
            self._store,
            known=known,
            total=None if self._limit is not None else total,
            record=keep,
            progress=report,
            cancel=cancel,
        )
        if self.paused:
            run.pause()
        # A search learns from every record: no plan is proposed before it can be measured.
        ahead = 2 if search is None else 1
        with self._execution.open(evaluator, ahead=ahead) as executor:
            try:
                measured = run.run(executor)
                if search is None:
                    records[:] = measured
            finally:
                report(run.progress, last=True)


def _until_new(plans: Iterable[Plan], known: Collection[str], limit: int) -> Iterator[Plan]:
    """Yields plans until `limit` of them are not known; a search needs the known ones too."""
    new = 0
    for plan in plans:
        yield plan
        new += plan.hash not in known
        if new == limit:
            return
