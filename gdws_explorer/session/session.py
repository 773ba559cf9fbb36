"""The application without a browser: one network, its plan, records and background work.

Threads and locks. Every public method of `Session`, `Controls` and `RecordFilter` may be called
from any thread: it holds `Session.lock`, which the three share, while it reads or changes state.
The exceptions: `Session.close`, which waits for threads and therefore holds no lock while it waits,
and `Session.export`, which reads the state under the lock and writes the files without it. After
`close`, what would start new work raises ExplorerError.

Locks are taken in this order, and no thread takes one of them while it holds a later one:

1. `Session.lock`. Listeners are called while it is held, in every thread, so that they see one
   change after the other, and the state that belongs to it.
2. The drawing locks of views, which listeners take.
3. The locks inside `Jobs`, `LiveEstimates` and `Store`. They protect a queue or a connection, and
   no listener is called while one is held.

Threads of `Jobs` and `LiveEstimates` do their long work without `Session.lock` and take it to put
a result and to call listeners.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from gdws_explorer.bench.custom import CustomBench
from gdws_explorer.bench.target import (
    DEFAULT_ATTACK,
    AnyAttack,
    AnyTarget,
    Target,
    resolve_target,
)
from gdws_explorer.bundle.export_folder import export
from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.latency.measure import measure_latency
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.transfer import TransferEstimate
from gdws_explorer.session.controls import Controls, checked_meaning
from gdws_explorer.session.events import EVENTS, Event, Listener, check_event
from gdws_explorer.session.jobs import Job, Jobs, Work
from gdws_explorer.session.live_estimates import LiveEstimates
from gdws_explorer.session.locking import locked
from gdws_explorer.session.opening import SessionParts, open_target
from gdws_explorer.session.record_filter import RecordFilter
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.session.training_queue import TrainingQueue, TrainingRun
from gdws_explorer.study.attack_settings import AttackSpec, calibration_attack
from gdws_explorer.study.budget_scale import NETWORK_MEANINGS
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import KINDS, NetworkViews
from gdws_explorer.study.pareto import neighbour
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.study.storage.store import Store
from gdws_explorer.training.training_spec import TrainingSpec

READING, WEIGHING = "reading the images", "computing α from the images"
LEARNING = (READING, WEIGHING)
ATTACKING = "attacking the dense network"
TIMING = "measuring the time"
WITHOUT_STATE: tuple[Event, ...] = ("message", "job", "training", "filters", "pins", "custom")


class Session:
    """One network under exploration, with its records and background work; no widgets.

    See the module for threads and locks.

    Parameters
    ----------
    target : a bench (`gx.load("digits")`), the name of one, any nn.Module, or a Network; or a
        `Target`, which holds all that follows except storage, cache and progress.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`; a bench brings its own.
    calibration : images `(N, C, H, W)` in [0, 1], or (images, labels), for approximations made
        from data; not those of `data`. A bench brings its training images.
    eps : radius of the ℓ∞ ball for PGD-20; 8/255 unless the bench says otherwise.
    attack : any that `gx.evaluate` takes, instead of eps; None for clean accuracy only.
    example : one batch `(N, C, H, W)`, where there are no data.
    title : the headline; by default the bench's, or the model's class.
    skip : layers that budgets leave dense; None skips the first convolution.
    storage : as in `gx.explore`: a file, True, a server, a Store, or None for memory.
    cache : where tables of large networks and checkpoints of trainings are kept, as in
        `Network.prepare`; False keeps neither.
    progress : called with the fraction of the decomposition that is done.

    Attributes
    ----------
    controls : the plan with its locks, sliders, selection, pins and undo.
    views : the network, plain and made from images.
    measurements : the records and the setting that they are made in.
    record_filter : the filters over the records that are shown.
    jobs : the queue of measurements. training_queue : trainings. estimates : live estimates.
    title, bench, cache : as given; bench is the name of a bundled one, or None.
    custom : the user's own network that is to be opened, and its attack; None before.
    message, failed : the last sentence for the user, and whether it is about an error.
    lock : the lock around the state, see the module.

    Examples
    --------
    >>> session = Session("digits")
    >>> session.controls.move_budget("macs", 0.5)
    >>> session.summary.macs <= 0.5 * session.network.macs
    True
    >>> session.close()
    """

    def __init__(
        self,
        target: AnyTarget | Target | SessionParts = "digits",
        *,
        data: tuple[Any, Any] | None = None,
        calibration: Any = None,
        eps: float | None = None,
        attack: AnyAttack = DEFAULT_ATTACK,
        example: Tensor | None = None,
        title: str | None = None,
        skip: Collection[str] | None = None,
        storage: Store | str | os.PathLike[str] | bool | None = None,
        cache: bool | str | os.PathLike[str] = True,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        if not isinstance(target, Target | SessionParts):
            target = resolve_target(
                target, data=data, calibration=calibration, eps=eps, attack=attack,
                example=example, title=title, skip=skip,
            )  # fmt: skip
        if isinstance(target, Target):
            target = open_target(target, storage=storage, cache=cache, progress=progress)
        parts = target
        self.lock = threading.RLock()
        self.message, self.failed = "", False
        self.custom: tuple[CustomBench, AttackSpec] | None = None
        self.title, self.bench, self.cache = parts.title, parts.bench, parts.cache
        self.measurements: Measurements = parts.measurements
        self.views = NetworkViews(parts.network, parts.calibration, parts.cache)
        self.controls = Controls(self.views, self.notify, self.lock)
        self.record_filter = RecordFilter(
            lambda: self.measurements.records(self.measurements.shown),
            lambda: self.notify("filters"),
            self.lock,
        )
        self._queues: dict[str, Jobs] = {}
        self.jobs = self.job_queue("measuring")
        self.training_queue = TrainingQueue(self.views, parts.cache, self._training_changed)
        self.estimates = LiveEstimates(
            parts.network, self.measurements.data, lambda: self.notify("estimate")
        )
        self._listeners: list[tuple[Listener, frozenset[Event]]] = []
        self._snapshot: Snapshot | None = None
        # What a snapshot needs and only some events change: not computed again at every move.
        self._reading_images = False
        self._other_images = False
        self._records: dict[str, Record] | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        measurements: Measurements,
        *,
        title: str,
        bench: str | None = None,
        calibration: tuple[Tensor, Tensor | None] | None = None,
        cache: bool | str | os.PathLike[str] = False,
    ) -> Session:
        """Makes a session of parts that exist already, as tests and measurements do."""
        return cls(SessionParts(network, measurements, title, bench, calibration, cache))

    # -- the present state -----------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The present plan."""
        return self.controls.plan

    @property
    def network(self) -> Network:
        """The network as the plan sees it."""
        return self.controls.network

    @property
    def summary(self) -> Summary:
        """Costs and error of the present plan."""
        return self.controls.summary

    @property
    @locked
    def snapshot(self) -> Snapshot:
        """The present state as a value; computed once per change."""
        if self._snapshot is None:
            controls, history = self.controls, self.controls.history
            self._snapshot = Snapshot(
                network=controls.network,
                plan=controls.plan,
                state=controls.state,
                summary=controls.summary,
                budget=controls.budget,
                budget_number=controls.budget_number,
                positions=controls.all_positions,
                selected=controls.selected,
                slider_meaning=controls.slider_meaning,
                error_unit="‖W‖²" if controls.network.calibration is None else "the outputs",
                source=controls.source,
                reading_images=self._reading_images,
                can_undo=bool(history.past),
                can_redo=bool(history.future),
                other_images=self._other_images,
                record=self._record(controls.plan),
                estimate=self._estimate(controls.plan),
            )
        return self._snapshot

    @property
    @locked
    def reading_images(self) -> bool:
        """Whether images are being read, or wait for it."""
        return any(job.about == READING for job in self.jobs.all)

    # -- events and messages ---------------------------------------------------------------

    @locked
    def subscribe(self, listener: Listener, events: Collection[Event] = EVENTS) -> None:
        """Calls `listener(event, snapshot)` after every change, or after changes of some kinds.

        The lock is held meanwhile. ExplorerError for a word that is not an Event.
        """
        for event in events:
            check_event(event)
        self._listeners.append((listener, frozenset(events)))

    @locked
    def notify(self, event: Event) -> None:
        """Calls the listeners; parts of the session do so after every change."""
        if event not in EVENTS:
            check_event(event)
        if event not in WITHOUT_STATE:
            self._snapshot = None
        if event == "records":
            self._records = None
            self._other_images = self.measurements.shows_other_images
        elif event == "source":
            self._reading_images = self.reading_images
        if event in ("plan", "selection") and self.failed:
            self.message, self.failed = "", False
            self.notify("message")
        for listener, events in list(self._listeners):
            if event in events:
                listener(event, self.snapshot)
        if event in ("plan", "records"):
            self._request_estimate()

    @contextmanager
    def show_errors(self) -> Iterator[None]:
        """Turns an ExplorerError raised inside into a message; holds the lock meanwhile."""
        with self.lock:
            try:
                yield
            except ExplorerError as error:
                self.show_message(str(error), failed=True)

    @locked
    def show_message(self, text: str, *, failed: bool = False) -> None:
        """Shows one sentence to the user. failed : whether it is about an error."""
        self.message, self.failed = text, failed
        self.notify("message")

    # -- plans and what they are made from -------------------------------------------------

    @locked
    def show(self, plan: Plan) -> None:
        """Makes a plan the present one; images that it is made from are read first if needed."""
        if plan.refitted and self.views.images is not None:
            self.views.refitted()
        readable = plan.calibration is not None and not (plan.refitted or plan.trained)
        if not readable or self.views.knows(plan) or self.views.images is None:
            self.controls.put(plan)
            return
        attack = calibration_attack(self.measurements.attack)

        def read(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            if not self.views.knows(plan):
                self.views.calibrate(attack, progress, cancelled)
            with self.show_errors():
                self.controls.put(plan)

        self._learn(READING, read)

    @locked
    def choose_source(self, kind: str, attack: AttackSpec | Literal["present"] = "present") -> None:
        """Makes the plan from the weights, from these refitted on images, or from the images.

        kind : one of KINDS, or the label of a network that was trained here.
        attack : the one under which images are read; the present one unless given. The first time
        they are read in the background, and the plan changes when that is done.
        """
        if kind in self.views.trained:
            self._change_source(self.views.named(kind))
            return
        if kind not in KINDS:
            raise ExplorerError(f"unknown source {kind!r}; expected one of {KINDS}.")
        if kind == "weights":
            self._change_source(self.views.plain)
            return
        if kind == "refit":
            self._change_source(self.views.refitted())
            return
        under = calibration_attack(self.measurements.attack if attack == "present" else attack)
        known = self.views.calibrated(under)
        if known is not None:
            self._change_source(known)
        elif not self.reading_images:

            def read(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
                network = self.views.calibrate(under, progress, cancelled)
                with self.show_errors():
                    self._change_source(network)

            self._learn(READING, read)

    @locked
    def set_budget_meaning(self, by: str) -> None:
        """Changes what the budget slider sets; the plan stays.

        For "alpha" the weights of the errors are computed first, in the background.
        """
        checked_meaning(by, NETWORK_MEANINGS)
        attack = calibration_attack(self.measurements.attack)
        if by == "alpha" and self.plan.calibration is not None:
            raise PlanError("α weighs errors of the weights; choose “from the weights” first.")
        if by != "alpha" or self.views.knows_alpha(attack):
            self.controls.set_budget_meaning(by)
            return

        def weigh(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            self.views.weigh(attack, progress, cancelled)
            with self.lock:
                if self.plan.calibration is None:
                    self.controls.set_budget_meaning(by)

        self._learn(WEIGHING, weigh)

    # -- measuring -------------------------------------------------------------------------

    @locked
    def measure_with(self, attack: AttackSpec, n: int) -> None:
        """Changes the attack and the number of images that plans are measured with from now on."""
        self.measurements.change(attack, n)
        self.notify("records")

    @locked
    def show_setting(self, setting: EvaluationSetting) -> None:
        """Shows the records of another setting, and measures in it if its images are these."""
        self.measurements.show(setting)
        self.notify("records")

    @locked
    def step_along_front(self, step: int, metric: str = "robust", cost: str = "macs") -> None:
        """Shows the next plan of the front: +1 the next more expensive, -1 the next cheaper."""
        here = getattr(self.summary, cost)
        self.show(neighbour(self.record_filter.kept(), here, step, metric, cost).plan)

    @locked
    def evaluate(self) -> Job:
        """Measures the present plan in the background; several measurements wait in a queue."""
        return self._measure(self.plan, self._parent())

    @locked
    def train(self, spec: TrainingSpec, *, restart: bool = False) -> TrainingRun:
        """Trains in the background; the trained plan is then shown and measured.

        restart : from the first epoch, even if there is a checkpoint of this training.
        """
        return self.training_queue.start(spec, self.plan, self._trained, restart=restart)

    @locked
    def show_live_estimates(self, on: bool) -> None:
        """Switches live estimates of robust accuracy on or off; see `robust.transfer`."""
        attack, n, seed = self.measurements.how
        if on and not self.estimates.ready(attack, n, seed):
            self.estimates.check(attack)
        self.estimates.enabled = on
        self.notify("estimate")
        self._request_estimate()

    @locked
    def measure_latency(
        self, runtime: str = "onnxruntime", *, batch: int = 1, again: bool = False
    ) -> Job:
        """Measures the milliseconds of all layers in the background; one thread of the runtime.

        Summaries and budgets then have milliseconds. runtime, batch, again : as in
        `Network.measure_latency`; times that were measured here before are read at once, where
        the session has a cache.
        """
        plain = self.views.plain

        def measure(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            found = measure_latency(
                plain.model, plain.example, plain.layers, plain.fingerprint,
                runtime=runtime, batch=batch, cache=self.cache,
                again=again, progress=progress, cancel=cancelled,
            )  # fmt: skip
            with self.lock:
                self.views.use_latencies(found)
                self.notify("plan")

        return self.jobs.submit(TIMING, measure)

    # -- other work ------------------------------------------------------------------------

    @locked
    def job_queue(self, name: str) -> Jobs:
        """The queue of one kind of long work; queues run at the same time."""
        if name not in self._queues:
            self._queues[name] = Jobs(self._job_changed)
        return self._queues[name]

    @locked
    def open_custom(self, custom: CustomBench, attack: AttackSpec) -> None:
        """Asks the explorer to open the user's own network and images under this attack."""
        self.custom = custom, attack
        self.notify("custom")

    def export(self, folder: str | Path) -> Path:
        """Writes the network of the present plan, the plan and what was measured of it.

        Where the time in ONNX Runtime was measured, model.onnx has the layers in their fastest
        forms.
        """
        with self.lock:
            now, plain = self.snapshot, self.views.plain.plan()
            measured, dense = (self.measurements.of(plan) for plan in (now.plan, plain))
        if measured is None or dense is None or measured.paired(dense, "clean") is None:
            dense = None  # nothing to compare with, or measured without per-image results
        times = now.network.latencies
        return export(
            now.network.build(now.plan),
            now.plan,
            folder,
            runtime="onnxruntime" if times is not None and times.runtime == "onnxruntime" else None,
            batch=1 if times is None else times.batch,
            report=None if measured is None else measured.report,
            dense=None if dense is None or now.plan == plain else dense.report,
            summary=now.summary,
            source=self.bench,
        )

    def close(self) -> None:
        """Cancels background work, waits for it to end and forgets the listeners."""
        with self.lock:
            self._listeners.clear()
            queues = list(self._queues.values())
        self.training_queue.close()  # first: the plan that it ends with is measured
        for queue in queues:
            queue.close()
        self.estimates.close()
        self.measurements.close()

    # -- inside ----------------------------------------------------------------------------

    def _record(self, plan: Plan) -> Record | None:
        """The record of a plan in the present setting, looked up in the records of the setting."""
        if self._records is None:
            self._records = {record.plan.hash: record for record in self.measurements.records()}
        return self._records.get(plan.hash) if self._records else None

    def _estimate(self, plan: Plan) -> TransferEstimate | None:
        if not self.estimates.enabled:
            return None
        return self.estimates.latest(plan, *self.measurements.how)

    def _request_estimate(self) -> None:
        """Asks for the present plan's estimate; the dense network is attacked first if needed."""
        estimates = self.estimates
        if not estimates.enabled:
            return
        how = self.measurements.how
        if how[0] is None:
            return
        if estimates.ready(*how):
            estimates.request(self.network, self.plan, *how)
            return

        def attack(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            estimates.prepare(*how, progress, cancelled)

        if all(job.about != ATTACKING for job in self.jobs.all):
            self.jobs.submit(ATTACKING, attack)

    def _learn(self, about: str, work: Work) -> None:
        """Computes something from the images in the background."""
        self.views.check()
        if about == READING or all(job.about != about for job in self.jobs.all):
            self.jobs.submit(about, work)

    def _change_source(self, network: Network) -> None:
        changed = self.controls.change_source(network)
        if changed:
            self.show_message(
                f"{', '.join(changed)} could not stay as locked: the family cannot be made from "
                "this source."
            )

    def _measure(self, plan: Plan, parent: str | None) -> Job:
        measure = self.measurements.task(plan, self.views.of(plan), parent)

        def work(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            measure(progress, cancelled)
            self.notify("records")

        return self.jobs.submit(plan, work)

    def _trained(self, run: TrainingRun) -> None:
        """Shows and measures the result of a training."""
        assert run.result is not None
        with self.show_errors():
            self.controls.put(run.result.plan)
            if self.measurements.data is not None:
                self._measure(run.result.plan, run.result.parent)
            self.show_message(
                f"trained: {run.spec}. It is on the controls; Undo goes back to the plan before."
            )

    @locked
    def _training_changed(self, job: Job) -> None:
        if job.error is not None and isinstance(job.about, TrainingRun):
            self.show_message(f"the training stopped: {job.error}", failed=True)
        self.notify("training")

    def _parent(self) -> str | None:
        """The last measured plan among the undo steps before the present one."""
        known = {record.plan.hash for record in self.measurements.records()}
        earlier = (state.plan for state in reversed(self.controls.history.past))
        return next((p.hash for p in earlier if p != self.plan and p.hash in known), None)

    @locked
    def _job_changed(self, job: Job) -> None:
        if job.about in LEARNING:
            self.notify("source")
        if job.about == ATTACKING and job.status == "done":
            self._request_estimate()  # the setting may be another by now
        elif job.about == ATTACKING and job.status in ("cancelled", "failed"):
            self.estimates.enabled = False
            self.notify("estimate")
        if job.error is not None:
            what = job.about if isinstance(job.about, str) else "the measurement"
            self.show_message(f"{what} stopped: {job.error}", failed=True)
        self.notify("job")
