"""The sentences of the panel "Train", as HTML."""

from __future__ import annotations

from html import escape

from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.session.training_queue import TrainingQueue, TrainingRun
from gdws_explorer.training.callbacks import EpochRecord
from gdws_explorer.training.training_spec import TrainingSpec
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets.form import refusal


def ahead(trainer: TrainingQueue, task: TrainingSpec, plan: Plan) -> str:
    """How long it will take, on how many images, and what a killed kernel leaves."""
    if trainer.epochs_done(task, plan) == sum(task.planned):
        return _quiet(f"trained before, to the end: the result is in {_folder(trainer)}")
    seconds, guess = trainer.seconds(task, plan)
    images = len(trainer.data()[1])
    held = task.tuning.held_out(images)
    if not guess:
        parts = [f"<b>about {duration(seconds)}</b> on this machine, by a few steps timed"]
    elif trainer.jobs.running is not None and trainer.running is None:
        parts = [f"perhaps {duration(seconds)}, a guess: a few steps are being timed …"]
    else:
        parts = [f"perhaps {duration(seconds)}: only a guess"]
    parts.append(f"{images - held:,} training images" + (f", {held:,} held out" if held else ""))
    return _quiet(" · ".join([*parts, _kept(trainer, task, plan)]))


def running(run: TrainingRun, seconds_left: float | None) -> str:
    """Where a training is."""
    assert run.job is not None
    if run.job.cancelling:
        return "stopping …"
    course = run.progress
    if not course.epoch:
        return "waiting for its turn" if run.job.status == "waiting" else "beginning …"
    part = ""
    if course.planned[0]:
        part = "towards low rank · " if course.epoch <= course.planned[0] else "the factors · "
    left = "" if seconds_left is None else f" · about {duration(seconds_left)} left"
    return f"{part}epoch {course.epoch} of {course.epochs}{left}"


def ended(run: TrainingRun, kept: int) -> str:
    """What came of a training. kept : the epochs that its checkpoint holds."""
    assert run.job is not None
    if run.job.error is not None:
        return refusal(run.job.error)
    course = run.progress
    if run.result is None:
        heard = sum(course.length[:2])  # the latest may have been saved before it was told
        last = f" (epoch {heard}: {_reached(course.last)})" if heard else ""
        later = "Continue goes on from there" if kept else "nothing of it is kept"
        return f"<b>Stopped</b> after {max(heard, kept)} of {course.epochs} epochs{last}; {later}."
    best = run.result.entries[run.result.best - 1]
    which = f"the factors' epoch {run.result.best}" if course.planned[0] else f"epoch {best.number}"
    return (
        f"<b>Done</b>, {escape(str(run.spec))}: weights of {which}, {_reached(best)}. It is on the "
        "faders, measured as a new point of the front. Its weights live in this kernel: export the "
        "network to keep them."
    )


def title(run: TrainingRun) -> str:
    """What the curves are of."""
    return f"<b>{escape(str(run.spec))}</b> " + _quiet(
        f"{_method(run.spec)} · plan before: {escape(_short(str(run.plan)))}"
    )


def _reached(entry: EpochRecord | None) -> str:
    """An epoch's accuracies with counts and intervals."""
    if entry is None:
        return ""
    told = entry.validation
    if told is None:
        return f"loss {entry.loss:.3g}, {entry.correct} of {entry.seen} images right while learning"
    low, high = told.clean_interval
    words = [f"clean {told.clean_correct} of {told.n} held-out images ({low:.0%} to {high:.0%})"]
    if told.robust_correct is not None and told.robust_interval and told.attack:
        low, high = told.robust_interval
        words.insert(
            0, f"robust {told.robust_correct} of {told.n} ({low:.0%} to {high:.0%}) under "
            f"{escape(told.attack.label)}",
        )  # fmt: skip
    return ", ".join(words)


def _method(task: TrainingSpec) -> str:
    recipe = task.recipe
    used = recipe.training_attack
    attack = "" if used is None else f" {escape(used.label)}"
    if recipe.method == "trades":
        attack = f" ε {recipe.eps:.3g}, {recipe.steps or 10} steps, β {recipe.beta:g}"
    return f"{recipe.method}{attack} · lr {recipe.lr:g} · seed {recipe.seed}"


def _kept(trainer: TrainingQueue, task: TrainingSpec, plan: Plan) -> str:
    if trainer.folder is None:
        return "no checkpoints (opened with cache=False)"
    done = trainer.epochs_done(task, plan)
    if done:
        return f"{done} of {sum(task.planned)} epochs are done and in {_folder(trainer)}"
    return f"a checkpoint after every epoch in {_folder(trainer)}"


def _folder(trainer: TrainingQueue) -> str:
    return escape(str(trainer.folder))


def _short(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _quiet(text: str) -> str:
    return f'<span class="gx-unit">{text}</span>'
