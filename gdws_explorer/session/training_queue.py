"""Trainings in the background, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from gdws_explorer.errors import DataError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.session.jobs import Job, Jobs
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.training.finetuning import CompressedModel
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.training.training_time import TrainingTime, guess_time, time_steps
from gdws_explorer.typing import Progress
from gdws_explorer.utils.cache_folder import default_folder
from gdws_explorer.utils.threads import threads_for, torch_threads

FOLDER = "trainings"
INTERVAL = 0.25  # seconds between two reports of progress
Pair = tuple[Tensor, Tensor]


@dataclass(eq=False)
class TrainingRun:
    """One training, under way or over.

    spec : what is trained and how. plan : the one that is fine-tuned; else the dense one.
    progress : epochs and losses so far. checkpoint : its file, or None.
    job : its job in the queue. result : the trained network, or None before the end.
    """

    spec: TrainingSpec
    plan: Plan
    progress: TrainingProgress
    checkpoint: Path | None
    job: Job | None = None
    result: CompressedModel | None = None

    @property
    def alive(self) -> bool:
        """Whether it is under way or about to begin."""
        return self.job is not None and self.job.alive


class TrainingQueue:
    """The trainings of one network.

    views : the network and the images. cache : where checkpoints lie, in a folder of their own:
    the user's cache folder (True), another, or nowhere (False). changed : called with a job when
    its status or progress changes, at most every INTERVAL seconds; also in the worker thread.
    latest : the latest training, or None. folder : of the checkpoints, or None.
    """

    def __init__(
        self,
        views: NetworkViews,
        cache: bool | str | os.PathLike[str],
        changed: Callable[[Job], None],
    ) -> None:
        self._views = views
        self._changed = changed
        self._reported = 0.0  # when progress was last reported
        # How fast trainings are, and the MACs of the network that was timed.
        self._speeds: dict[TrainingSpec, tuple[TrainingTime, int]] = {}
        self.latest: TrainingRun | None = None
        self.jobs = Jobs(changed)
        self.folder: Path | None = None
        if cache is not False:
            self.folder = (default_folder() if cache is True else Path(cache)) / FOLDER

    # -- the present state -----------------------------------------------------------------

    def data(self) -> Pair:
        """The images and labels to train on; DataError where there are none."""
        if self._views.images is None:
            raise DataError(
                "there are no images to train on; open with gx.explore(…, calibration=(images, "
                "labels)), not those that plans are measured on."
            )
        images, labels = self._views.images
        if labels is None:
            raise DataError(
                "the images to train on have no labels; open with gx.explore(…, "
                "calibration=(images, labels))."
            )
        return images, labels

    @property
    def running(self) -> TrainingRun | None:
        """The training under way or about to begin, or None."""
        return self.latest if self.latest is not None and self.latest.alive else None

    def checkpoint(self, spec: TrainingSpec, plan: Plan) -> Path | None:
        """The path of this training's checkpoint, whether it exists or not; None without cache."""
        return (
            None
            if self.folder is None
            else self.folder / spec.checkpoint_name(self._start(spec, plan))
        )

    def epochs_done(self, spec: TrainingSpec, plan: Plan) -> int:
        """The number of epochs that the checkpoint of this training holds."""
        path = self.checkpoint(spec, plan)
        return 0 if path is None else spec.epochs_done(path)

    def seconds(self, spec: TrainingSpec, plan: Plan) -> tuple[float, bool]:
        """The remaining seconds of a training, and whether they are only guessed."""
        images, done = len(self.data()[1]), self.epochs_done(spec, plan)
        macs = self._macs(spec, plan)
        speed, timed_macs = self._speeds.get(_speed_key(spec), (None, 0))
        if speed is None:
            speed = guess_time(spec, self._views.of(plan))
        elif timed_macs != macs:
            speed = speed.times(macs / timed_macs)
        return speed.seconds(spec, images, done), not speed.timed

    # -- work ------------------------------------------------------------------------------

    def measure_speed(self, spec: TrainingSpec, plan: Plan) -> Job | None:
        """Times a few steps in the background; None where they are timed or a training runs."""
        if _speed_key(spec) in self._speeds or self.running is not None:
            return None
        self.jobs.cancel()  # the timing of other settings
        network, data = self._views.plain, self.data()
        plan = network.plan(dict(plan))  # what its factors are made from does not matter

        def work(_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            with torch_threads(_threads(spec, data)):
                speed = time_steps(spec, network, plan, data, cancelled)
            self._speeds[_speed_key(spec)] = speed, self._macs(spec, plan)

        return self.jobs.submit(spec, work)

    def start(
        self,
        spec: TrainingSpec,
        plan: Plan,
        finished: Callable[[TrainingRun], None],
        *,
        restart: bool = False,
    ) -> TrainingRun:
        """Trains in the background, from the checkpoint of this training if there is one.

        finished : called in the worker thread with the run after its network is in `views`.
        restart : begins from the first epoch. Raises DataError where there is nothing to train
        on, or another training is under way.
        """
        data = check_data(self.data())
        if self.running is not None:
            raise DataError("a training is under way; cancel it first, or wait for it.")
        self.jobs.cancel()
        first = self._start(spec, plan)
        network = self._views.of(first)
        path = self.checkpoint(spec, plan)
        if path is not None and restart:
            spec.delete_checkpoints(path)
        run = TrainingRun(spec, first, TrainingProgress(spec.planned), path)

        def work(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            def report(_progress: Progress) -> None:
                now = time.monotonic()
                if run.progress.changed or now - self._reported > INTERVAL:
                    self._reported = now
                    progress(run.progress.fraction)

            with torch_threads(_threads(spec, data)):
                result = spec.run(
                    network, first, data, run.progress, checkpoint=path, progress=report,
                    cancel=cancelled,
                )  # fmt: skip
            result.network.prepare(cancel=cancelled)
            self._views.add(result.network, str(spec))
            run.result = result
            finished(run)

        run.job = self.jobs.submit(run, work)
        self.latest = run
        self._changed(run.job)
        return run

    def cancel(self) -> None:
        """Stops the training under way; its checkpoint stays."""
        self.jobs.cancel()

    def close(self) -> None:
        """Stops everything and waits for it to end."""
        self.jobs.close()

    # -- inside ----------------------------------------------------------------------------

    def _start(self, spec: TrainingSpec, plan: Plan) -> Plan:
        """The plan that a training begins with: the given one, or the dense one."""
        return plan if spec.kind == FINETUNE else self._views.plain.plan()

    def _macs(self, spec: TrainingSpec, plan: Plan) -> int:
        """The MACs of the network that is trained."""
        if spec.kind == FINETUNE:
            return self._views.of(plan).summary(plan).macs
        return self._views.plain.macs


def _speed_key(spec: TrainingSpec) -> TrainingSpec:
    """A key that is equal for trainings of the same speed."""
    return replace(spec, recipe=replace(spec.recipe, epochs=1, lr=1.0, validation=0.0, seed=0))


def _threads(spec: TrainingSpec, data: Pair) -> int:
    """As many threads as torch has; one for batches that are too small to be split."""
    return threads_for(data[0][0].numel() * spec.recipe.batch_size)
