"""Sentences of the panel "Sensitivity", as HTML."""

from __future__ import annotations

from html import escape

from gdws_explorer.figures.layerwise_curves import LayerwiseInfo
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.study.layerwise import LayerwiseProgress
from gdws_explorer.study.rank_correlation import RankCorrelation
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets import text

# The least ρ of every grade, from the best grade down. The limits are a choice of this package.
GRADES = (
    (0.9, "orders the approximations almost perfectly"),
    (0.7, "orders the approximations well"),
    (0.4, "orders the approximations roughly"),
    (-0.4, "hardly orders the approximations"),
    (-1.0, "orders the approximations the wrong way round"),
)


def caption_text(info: LayerwiseInfo, metric: str) -> str:
    """Returns how to read the lines, and the most sensitive layer."""
    sentences = (
        "Every line compresses one layer alone: where accuracy falls early, compress the layer "
        "little; where it stays level, compress it more."
    )
    sensitive = info.sensitive(metric)
    if sensitive:
        sentences += f" Most sensitive of the measured ones: {sensitive[0].name}."
    return _grey(f"{sentences} Click a line to choose its layer.")


def correlation_text(correlation: RankCorrelation, info: LayerwiseInfo, metric: str) -> str:
    """Returns how well the analytic error orders the approximations by loss."""
    if correlation.rho is None:
        return _grey(f"Spearman’s ρ is undefined: {correlation.why}.")
    grade = next(words for least, words in GRADES if correlation.rho >= least)
    sentence = (
        f"ρ = {correlation.rho:.2f}: the {info.axis} {grade} by their loss of {metric} accuracy"
    )
    if correlation.within is not None and correlation.layers > 1:
        sentence += f"; among the budgets of one layer ρ = {correlation.within:.2f} (median)"
    note = ""
    if correlation.interval is not None:
        note = " Its interval is a bootstrap over the layers."
    return _grey(f"{sentence}.{note}")


def forecast_text(missing: int, total: int, seconds: float | None, session: Session) -> str:
    """Returns how much the button would measure.

    missing, total : plans that are not measured yet, and all plans. seconds : for one plan, or
    None if it is not known.
    """
    if session.measurements.data is None:
        return _grey("There are no images to measure on.")
    if not total:
        return _grey("The chosen layer cannot be approximated by this family.")
    if not missing:
        return _grey(f"All {total} plans are measured with {text.setting(session)}.")
    time = "" if seconds is None else f", about {duration(seconds * missing)}"
    count = "1 evaluation" if missing == 1 else f"{missing} evaluations"
    return _grey(f"{count}{time}: {text.setting(session)}")


def status_text(job: Job, progress: LayerwiseProgress | None) -> str:
    """Returns the progress of the job."""
    if job.cancelling:
        return _grey("stopping …")
    if job.status == "waiting":
        return _grey("waiting for the jobs before it")
    parts = [] if progress is None else [f"{progress.done} of {progress.total}", progress.about]
    left = job.seconds_left
    time = "" if left is None else f"{duration(max(0.0, left))} left"
    return _grey(" · ".join(filter(None, [*parts, f"{job.fraction:.0%}", time])))


def _grey(sentence: str) -> str:
    return f'<span class="gx-unit">{escape(sentence)}</span>'
