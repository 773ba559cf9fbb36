"""What the explorer knows and can do, without a single widget.

A session owns one network, its desk and its measurements. The views call its methods and listen
to it; the sums are made in `network` and `explore`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from torch import Tensor

from gdws_explorer.bench.custom import CustomBench
from gdws_explorer.bundle.export_folder import export
from gdws_explorer.errors import PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.transfer import TransferEstimate
from gdws_explorer.session.controls import Faders, meaning
from gdws_explorer.session.jobs import Job, Jobs, Work
from gdws_explorer.session.live_estimates import LiveEstimates
from gdws_explorer.session.record_filter import RecordFilter
from gdws_explorer.session.training_queue import TrainingQueue, TrainingRun
from gdws_explorer.study.attack_settings import AttackSpec, calibration_attack
from gdws_explorer.study.budget_scale import NETWORK_MEANINGS
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import KINDS
from gdws_explorer.study.pareto import neighbour
from gdws_explorer.study.records import EvaluationSetting
from gdws_explorer.training.training_spec import TrainingSpec

READING, WEIGHING = "reading the images", "computing α from the images"
LEARNING = (READING, WEIGHING)
ATTACKING = "attacking the dense network"


class Session(Faders):
    """One network under exploration.

    Listeners are called with what changed: "desk" (plan, locks), "view" (selection, meaning of
    the faders), "records", "filters" (of records), "job", "learning" (from images), "training",
    "message", "pins", "estimate" or "own" (`brought` is to be explored). All methods may be called
    from any thread.
    """

    def __init__(
        self,
        network: Network,
        measurements: Measurements,
        *,
        title: str,
        bench: str | None = None,
        calibration: tuple[Tensor, Tensor | None] | None = None,
        cache: bool | str | os.PathLike[str] = False,
    ) -> None:
        super().__init__(network, calibration, cache)
        self.cache = cache
        self.brought: tuple[CustomBench, AttackSpec] | None = None
        self.measurements = measurements
        self.title = title
        self.bench = bench
        self.picking = RecordFilter(self, lambda: self._tell("filters"))
        self._queues: dict[str, Jobs] = {}
        self.jobs = self.queue("measuring")
        self.trainer = TrainingQueue(self.sources, cache, self._training_changed)
        self.estimates = LiveEstimates(network, measurements.data, lambda: self._tell("estimate"))

    def put(self, plan: Plan) -> None:
        """Put a whole plan on the desk; of one that is made from data the images are read first."""
        if plan.refitted and self.sources.images is not None:
            self.sources.refitted()
        readable = plan.calibration is not None and not (plan.refitted or plan.trained)
        if not readable or self.sources.knows(plan) or self.sources.images is None:
            super().put(plan)
            return
        attack = calibration_attack(self.measurements.attack)

        def read(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            if not self.sources.knows(plan):
                self.sources.calibrate(attack, progress, cancelled)
            with self.told():
                super(Session, self).put(plan)

        self._learn(READING, read)

    def queue(self, name: str) -> Jobs:
        """A queue of long work of one kind, beside the others; `jobs` is that of measurements."""
        if name not in self._queues:
            self._queues[name] = Jobs(self._job_changed)
        return self._queues[name]

    def close(self) -> None:
        """Cancel what runs and forget the listeners."""
        self._listeners.clear()
        self.trainer.close()  # first: what it ends with is measured
        for queue in self._queues.values():
            queue.close()
        self.estimates.close()
        self.measurements.close()

    # -- what plans are made from ------------------------------------------------------------

    def use(self, kind: str, attack: AttackSpec | Literal["present"] = "present") -> None:
        """Make approximations from the weights, these refitted on images, or the images ("data").

        kind : one of KINDS, or the label of a network that was trained here.
        attack : that the images are read under; the one that is measured with, unless given. The
        first time they are read in the background; the plan changes when that is done.
        """
        if kind in self.sources.trained:
            self._move_to(self.sources.named(kind))
            return
        meaning(kind, KINDS)
        if kind == "weights":
            self._move_to(self.sources.plain)
            return
        if kind == "refit":
            self._move_to(self.sources.refitted())
            return
        under = calibration_attack(self.measurements.attack if attack == "present" else attack)
        known = self.sources.calibrated(under)
        if known is not None:
            self._move_to(known)
        elif not self.reading:

            def read(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
                network = self.sources.calibrate(under, progress, cancelled)
                with self.told():
                    self._move_to(network)

            self._learn(READING, read)

    @property
    def source(self) -> str:
        """What the plan on the faders is made from: one of KINDS, or a trained network's label."""
        label = self.plan.calibration
        return label if label and self.plan.trained else self.sources.kind(self.plan)

    @property
    def reading(self) -> bool:
        """Whether images are being read, or wait for it."""
        return any(job.about == READING for job in self.jobs.all)

    def set_budget_by(self, by: str) -> None:
        """Change what the network's fader means; the plan stays.

        For "alpha" the weights are computed first, in the background.
        """
        meaning(by, NETWORK_MEANINGS)
        attack = calibration_attack(self.measurements.attack)
        if by == "alpha" and self.plan.calibration is not None:
            raise PlanError("α weighs errors of the weights; choose “from the weights” first.")
        if by == "alpha" and not self.sources.knows_alpha(attack):

            def weigh(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
                self.sources.weigh(attack, progress, cancelled)
                if self.plan.calibration is None:
                    self.budget_by = by

            self._learn(WEIGHING, weigh)
            return
        self.budget_by = by
        self._tell("view")

    # -- measuring ---------------------------------------------------------------------------

    def measure_with(self, attack: AttackSpec, n: int) -> None:
        """Change how plans are measured from now on."""
        self.measurements.change(attack, n)
        self._tell("records")

    def show(self, setting: EvaluationSetting) -> None:
        """Look at the records of another setting, and measure in it where these images are its."""
        self.measurements.show(setting)
        self._tell("records")

    def walk(self, step: int, metric: str = "robust", cost: str = "macs") -> None:
        """Go to the next plan of the front: +1 dearer, -1 cheaper."""
        here = getattr(self.summary, cost)
        self.put(neighbour(self.picking.kept(), here, step, metric, cost).plan)

    def evaluate(self) -> Job:
        """Measure the plan on the faders in the background; several queue up."""
        return self._measure(self.plan, self._parent())

    def train(self, task: TrainingSpec, *, anew: bool = False) -> TrainingRun:
        """Train in the background; what comes of it is put on the faders and measured.

        anew : from the first epoch, even where a checkpoint of this training is there.
        """
        return self.trainer.start(task, self.plan, self._trained, anew=anew)

    def estimate(self, on: bool) -> None:
        """Show robust accuracy while dragging: an upper bound, see `robust.transfer`."""
        attack, n, seed = self.measurements.how
        if on and not self.estimates.ready(attack, n, seed):
            self.estimates.check(attack)
        self.estimates.on = on
        self._tell("estimate")
        self._look_ahead()

    @property
    def estimated(self) -> TransferEstimate | None:
        """The estimate of the plan on the faders, when it is made."""
        return self.estimates.of(self.plan, *self.measurements.how)

    def bring(self, own: CustomBench, attack: AttackSpec) -> None:
        """Ask for a network and images of the user's own to be opened, under this attack."""
        self.brought = own, attack
        self._tell("own")

    # -- taking it away ------------------------------------------------------------------------

    def export(self, folder: str | Path) -> Path:
        """Write the network on the faders, its plan and what was measured of it."""
        plain = self.sources.plain.plan()
        measured, dense = (self.measurements.of(plan) for plan in (self.plan, plain))
        if measured is None or dense is None or measured.paired(dense, "clean") is None:
            dense = None  # nothing to compare with, or of before verdicts were kept
        return export(
            self.network.build(self.plan),
            self.plan,
            folder,
            report=None if measured is None else measured.report,
            dense=None if dense is None or self.plan == plain else dense.report,
            summary=self.summary,
            source=self.bench,
        )

    # -- inside ----------------------------------------------------------------------------------

    def _tell(self, what: str) -> None:
        super()._tell(what)
        if what in ("desk", "records"):
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Estimate the present plan; the dense network is attacked first where it is not yet."""
        how, made = self.measurements.how, self.estimates
        if not made.on or how[0] is None:
            return
        if made.ready(*how):
            made.want(self.network, self.plan, *how)
            return

        def attack(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            made.prepare(*how, progress, cancelled)

        if all(job.about != ATTACKING for job in self.jobs.all):
            self.jobs.submit(ATTACKING, attack)

    def _learn(self, what: str, work: Work) -> None:
        """Learn something from the images in the background."""
        self.sources.check()
        if what == READING or all(job.about != what for job in self.jobs.all):
            self.jobs.submit(what, work)

    def _move_to(self, network: Network) -> None:
        """Put the desk onto another source, and say which locked layers could not stay."""
        if network.label == self.plan.calibration:
            return
        before, desk = self.desk, self.desk.on(network)
        if self.budget_by == "alpha" and network.label is not None:
            self.budget_by = "macs"
        self._put(desk)
        moved = sorted(n for n in before.locked if desk.plan[n] != before.plan[n])
        if moved:
            self.say(
                f"{', '.join(moved)} could not stay as locked: there is no such form from data."
            )

    def _measure(self, plan: Plan, parent: str | None) -> Job:
        measure = self.measurements.task(plan, self.sources.of(plan), parent)

        def work(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            measure(progress, cancelled)
            self._tell("records")

        return self.jobs.submit(plan, work)

    def _trained(self, run: TrainingRun) -> None:
        """Show and measure what was trained."""
        assert run.found is not None
        with self.told():
            super().put(run.found.plan)
            if self.measurements.data is not None:
                self._measure(run.found.plan, run.found.parent)
            self.say(
                f"trained: {run.task}. It is on the faders; Undo goes back to the plan before."
            )

    def _training_changed(self, job: Job) -> None:
        if job.error is not None and isinstance(job.about, TrainingRun):
            self.say(f"the training stopped: {job.error}", failed=True)
        self._tell("training")

    def _parent(self) -> str | None:
        """The last measured plan on the way to the present one."""
        known = {record.plan.hash for record in self.measurements.records()}
        earlier = (desk.plan for desk in reversed(self.history.past))
        return next((p.hash for p in earlier if p != self.plan and p.hash in known), None)

    def _job_changed(self, job: Job) -> None:
        if job.about in LEARNING:
            self._tell("learning")
        if job.about == ATTACKING and job.status == "done":
            self._look_ahead()  # the setting may be another by now
        elif job.about == ATTACKING and job.status in ("cancelled", "failed"):
            self.estimates.on = False
            self._tell("estimate")
        if job.error is not None:
            what = job.about if isinstance(job.about, str) else "the measurement"
            self.say(f"{what} stopped: {job.error}", failed=True)
        self._tell("job")
