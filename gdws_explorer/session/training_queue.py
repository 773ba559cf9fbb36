"""Training in the background: one after the other, beside everything else that works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from gdws_explorer.errors import DataError
from gdws_explorer.network.budget.table_cache import default_folder
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.session.jobs import Job, Jobs
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.training.finetuning import CompressedModel
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.training.training_time import TrainingTime, guess_time, time_steps
from gdws_explorer.utils.threads import threads_for, torch_threads

FOLDER = "trainings"
OFTEN = 0.25  # seconds between two words of progress
Pair = tuple[Tensor, Tensor]


@dataclass(eq=False)
class TrainingRun:
    """One training, under way or over.

    plan : that is fine-tuned; for the others, the dense one. checkpoint : its file, if any.
    found : what came of it.
    """

    task: TrainingSpec
    plan: Plan
    course: TrainingProgress
    checkpoint: Path | None
    job: Job | None = None
    found: CompressedModel | None = None

    @property
    def alive(self) -> bool:
        """Whether it is under way or about to begin."""
        return self.job is not None and self.job.alive


class TrainingQueue:
    """The trainings of one network.

    sources : the network and the images. cache : where checkpoints lie, in a folder of their own:
    the user's cache folder (True), another, or nowhere (False). changed : called with the job
    whenever there is something new, at most a few times a second; also from the worker.
    run : the latest training.
    """

    def __init__(
        self,
        sources: NetworkViews,
        cache: bool | str | os.PathLike[str],
        changed: Callable[[Job], None],
    ) -> None:
        self._sources = sources
        self._changed = changed
        self._told = 0.0
        self._paces: dict[
            TrainingSpec, tuple[TrainingTime, int]
        ] = {}  # and the MACs that they were timed at
        self.run: TrainingRun | None = None
        self.jobs = Jobs(changed)
        self.folder: Path | None = None
        if cache is not False:
            self.folder = (default_folder() if cache is True else Path(cache)) / FOLDER

    # -- what there is ----------------------------------------------------------------------

    def data(self) -> Pair:
        """The images and labels to learn from; DataError where there are none."""
        if self._sources.images is None:
            raise DataError(
                "there are no images to train on; open with gx.explore(…, calibration=(images, "
                "labels)), not those that plans are measured on."
            )
        images, labels = self._sources.images
        if labels is None:
            raise DataError(
                "the images to train on have no labels; open with gx.explore(…, "
                "calibration=(images, labels))."
            )
        return images, labels

    @property
    def running(self) -> TrainingRun | None:
        """The training under way or about to begin."""
        return self.run if self.run is not None and self.run.alive else None

    def checkpoint(self, task: TrainingSpec, plan: Plan) -> Path | None:
        """Where the checkpoint of this training lies, or would lie."""
        return None if self.folder is None else self.folder / task.file(self._start(task, plan))

    def left_off(self, task: TrainingSpec, plan: Plan) -> int:
        """How many epochs of this very training a checkpoint holds."""
        path = self.checkpoint(task, plan)
        return 0 if path is None else task.left_off(path)

    def seconds(self, task: TrainingSpec, plan: Plan) -> tuple[float, bool]:
        """How long it will take, or what is left of it; and whether that is only a guess."""
        network = self._sources.of(plan)
        images, done = len(self.data()[1]), self.left_off(task, plan)
        macs = network.summary(plan).macs if task.kind == FINETUNE else network.macs
        pace, of = self._paces.get(_alike(task), (None, 0))
        if pace is None:
            pace = guess_time(task, network)
        elif of != macs:
            pace = pace.times(macs / of)
        return pace.seconds(task, images, done), not pace.timed

    # -- what it does ---------------------------------------------------------------------

    def time(self, task: TrainingSpec, plan: Plan) -> Job | None:
        """Time a few steps in the background, where that is not known and nothing else trains."""
        if _alike(task) in self._paces or self.running is not None:
            return None
        self.jobs.cancel()  # of other settings
        network, data = self._sources.plain, self.data()
        plan = network.plan(dict(plan))  # whose factors do not matter

        def work(_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            with torch_threads(_threads(task, data)):
                pace = time_steps(task, network, plan, data, cancelled)
            macs = network.summary(plan).macs if task.kind == FINETUNE else network.macs
            self._paces[_alike(task)] = pace, macs

        return self.jobs.submit(task, work)

    def start(
        self,
        task: TrainingSpec,
        plan: Plan,
        finished: Callable[[TrainingRun], None],
        *,
        anew: bool = False,
    ) -> TrainingRun:
        """Train in the background, from its checkpoint where there is one.

        finished : called from the worker when the training is over and its network is known.
        anew : begin from the first epoch. Raises DataError where there is nothing to train on, or
        another training is under way.
        """
        data = check_data(self.data())
        if self.running is not None:
            raise DataError("a training is under way; cancel it first, or wait for it.")
        self.jobs.cancel()
        start = self._start(task, plan)
        network = self._sources.of(start)
        path = self.checkpoint(task, plan)
        if path is not None and anew:
            task.forget(path)
        run = TrainingRun(task, start, TrainingProgress(task.planned), path)

        def work(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            def tell(more: bool) -> None:
                now = time.monotonic()
                if more or now - self._told > OFTEN:
                    self._told = now
                    progress(run.course.fraction)

            with torch_threads(_threads(task, data)):
                found = task.run(
                    network, start, data, run.course, checkpoint=path, progress=tell,
                    cancel=cancelled,
                )  # fmt: skip
            found.network.prepare(cancel=cancelled)
            self._sources.add(found.network, str(task))
            run.found = found
            finished(run)

        run.job = self.jobs.submit(run, work)
        self.run = run
        self._changed(run.job)
        return run

    def cancel(self) -> None:
        """Stop the training under way; its checkpoint stays."""
        self.jobs.cancel()

    def close(self) -> None:
        """Stop everything and wait for it."""
        self.jobs.close()

    # -- inside ---------------------------------------------------------------------------

    def _start(self, task: TrainingSpec, plan: Plan) -> Plan:
        """What a training begins with: a plan, or the dense network."""
        return plan if task.kind == FINETUNE else self._sources.plain.plan()


def _alike(task: TrainingSpec) -> TrainingSpec:
    """The same for all trainings of one pace."""
    return replace(task, recipe=replace(task.recipe, epochs=1, lr=1.0, validation=0.0, seed=0))


def _threads(task: TrainingSpec, data: Pair) -> int:
    """As many as torch has; one for batches that are too small to be shared, as `evaluate` does."""
    return threads_for(data[0][0].numel() * task.recipe.batch_size)
