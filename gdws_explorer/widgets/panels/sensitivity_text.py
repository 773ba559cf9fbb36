"""The sentences of the panel "Sensitivity", as HTML."""

from __future__ import annotations

from html import escape

from gdws_explorer.figures.layerwise_curves import LayerwiseInfo
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.study.layerwise import LayerwiseProgress
from gdws_explorer.study.rank_correlation import RankCorrelation
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets import text

# How well one order foretells the other, from the best down; ours.
GRADES = (
    (0.9, "orders the approximations almost perfectly"),
    (0.7, "orders the approximations well"),
    (0.4, "orders the approximations roughly"),
    (-0.4, "hardly orders the approximations"),
    (-1.0, "orders the approximations the wrong way round"),
)


def caption(info: LayerwiseInfo, metric: str) -> str:
    """How to read the lines."""
    text = (
        "Every line compresses one layer alone: where accuracy falls early, spare the layer; "
        "where it stays level, cut it."
    )
    worst = info.sensitive(metric)
    if worst:
        text += f" Most sensitive of the measured ones: {worst[0].name}."
    return _quiet(f"{text} Click a line to choose its layer.")


def said(found: RankCorrelation, info: LayerwiseInfo, metric: str) -> str:
    """What ρ says of the error."""
    if found.rho is None:
        return _quiet(f"Spearman’s ρ is undefined: {found.why}.")
    grade = next(text for least, text in GRADES if found.rho >= least)
    text = f"ρ = {found.rho:.2f}: the {info.axis} {grade} by the {metric} accuracy that they lose"
    if found.within is not None and found.layers > 1:
        text += f"; among the budgets of one layer ρ = {found.within:.2f} (median)"
    note = "" if found.interval is None else " Its interval: layers drawn anew."
    return _quiet(f"{text}.{note}")


def ahead(todo: int, asked: int, seconds: float | None, session: Session) -> str:
    """What pressing the button would do."""
    if session.measurements.data is None:
        return _quiet("There are no images to measure on.")
    if not asked:
        return _quiet("The chosen layer cannot be approximated by this family.")
    if not todo:
        return _quiet(f"All {asked} plans are measured with {text.setting(session)}.")
    time = "" if seconds is None else f", about {duration(seconds * todo)}"
    count = "1 evaluation" if todo == 1 else f"{todo} evaluations"
    return _quiet(f"{count}{time}: {text.setting(session)}")


def running(job: Job, progress: LayerwiseProgress | None) -> str:
    """How far it is."""
    if job.cancelling:
        return _quiet("stopping …")
    if job.status == "waiting":
        return _quiet("waiting for the jobs before it")
    parts = [] if progress is None else [f"{progress.done} of {progress.total}", progress.about]
    left = job.seconds_left
    time = "" if left is None else f"{duration(max(0.0, left))} left"
    return _quiet(" · ".join(filter(None, [*parts, f"{job.fraction:.0%}", time])))


def _quiet(text: str) -> str:
    return f'<span class="gx-unit">{escape(text)}</span>'
