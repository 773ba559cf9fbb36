"""Sentences of the panel "Train", as HTML."""

from __future__ import annotations

from html import escape

from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.session.training_queue import TrainingQueue, TrainingRun
from gdws_explorer.training.callbacks import EpochRecord
from gdws_explorer.training.training_spec import TrainingSpec
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets.form import error_text


def forecast_text(queue: TrainingQueue, spec: TrainingSpec, plan: Plan) -> str:
    """Returns how long a training takes, on how many images, and what is in its checkpoint."""
    if queue.epochs_done(spec, plan) == sum(spec.planned):
        return _grey(f"this training is finished: its result is in {_folder(queue)}")
    seconds, guess = queue.seconds(spec, plan)
    images = len(queue.data()[1])
    held_out = spec.tuning.held_out(images)
    if not guess:
        parts = [f"<b>about {duration(seconds)}</b> on this machine, by a few steps timed"]
    elif queue.jobs.running is not None and queue.running is None:
        parts = [f"perhaps {duration(seconds)}, a guess: a few steps are being timed …"]
    else:
        parts = [f"perhaps {duration(seconds)}: only a guess"]
    held = f", {held_out:,} held out" if held_out else ""
    parts.append(f"{images - held_out:,} training images{held}")
    return _grey(" · ".join([*parts, _checkpoint_text(queue, spec, plan)]))


def status_text(run: TrainingRun, seconds_left: float | None) -> str:
    """Returns the progress of a training that runs or waits."""
    assert run.job is not None
    if run.job.cancelling:
        return "stopping …"
    progress = run.progress
    if not progress.epoch:
        return "waiting for its turn" if run.job.status == "waiting" else "starting …"
    part = ""
    if progress.planned[0]:
        low_rank = progress.epoch <= progress.planned[0]
        part = "towards low rank · " if low_rank else "the factors · "
    left = "" if seconds_left is None else f" · about {duration(seconds_left)} left"
    return f"{part}epoch {progress.epoch} of {progress.epochs}{left}"


def result_text(run: TrainingRun, stored_epochs: int) -> str:
    """Returns the result of a training that ended. stored_epochs : those in its checkpoint."""
    assert run.job is not None
    if run.job.error is not None:
        return error_text(run.job.error)
    progress = run.progress
    if run.result is None:
        reported = sum(progress.length[:2])  # the checkpoint may be one epoch ahead
        last = f" (epoch {reported}: {_accuracy_text(progress.last)})" if reported else ""
        later = "Continue goes on from there" if stored_epochs else "no checkpoint was written"
        epochs = max(reported, stored_epochs)
        return f"<b>Stopped</b> after {epochs} of {progress.epochs} epochs{last}; {later}."
    best = run.result.entries[run.result.best - 1]
    which = f"epoch {best.number}"
    if progress.planned[0]:
        which = f"the factors' epoch {run.result.best}"
    return (
        f"<b>Done</b>, {escape(str(run.spec))}: weights of {which}, {_accuracy_text(best)}. The "
        "result is the present plan and a new point of the front. Its weights exist only in this "
        "kernel: export the network to keep them."
    )


def title_text(run: TrainingRun) -> str:
    """Returns the title of the curves: the training, its method, the plan before it."""
    return f"<b>{escape(str(run.spec))}</b> " + _grey(
        f"{_method_text(run.spec)} · plan before: {escape(_shortened(str(run.plan)))}"
    )


def _accuracy_text(entry: EpochRecord | None) -> str:
    """Returns an epoch's accuracies with counts and intervals."""
    if entry is None:
        return ""
    found = entry.validation
    if found is None:
        return f"loss {entry.loss:.3g}, {entry.correct} of {entry.seen} training images correct"
    low, high = found.clean_interval
    parts = [f"clean {found.clean_correct} of {found.n} held-out images ({low:.0%} to {high:.0%})"]
    if found.robust_correct is not None and found.robust_interval and found.attack:
        low, high = found.robust_interval
        parts.insert(
            0, f"robust {found.robust_correct} of {found.n} ({low:.0%} to {high:.0%}) under "
            f"{escape(found.attack.label)}",
        )  # fmt: skip
    return ", ".join(parts)


def _method_text(spec: TrainingSpec) -> str:
    recipe = spec.recipe
    used = recipe.training_attack
    attack = "" if used is None else f" {escape(used.label)}"
    if recipe.method == "trades":
        attack = f" ε {recipe.eps:.3g}, {recipe.steps or 10} steps, β {recipe.beta:g}"
    return f"{recipe.method}{attack} · lr {recipe.lr:g} · seed {recipe.seed}"


def _checkpoint_text(queue: TrainingQueue, spec: TrainingSpec, plan: Plan) -> str:
    if queue.folder is None:
        return "no checkpoints (opened with cache=False)"
    done = queue.epochs_done(spec, plan)
    if done:
        return f"{done} of {sum(spec.planned)} epochs are done and in {_folder(queue)}"
    return f"a checkpoint after every epoch in {_folder(queue)}"


def _folder(queue: TrainingQueue) -> str:
    return escape(str(queue.folder))


def _shortened(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _grey(html: str) -> str:
    return f'<span class="gx-unit">{html}</span>'
