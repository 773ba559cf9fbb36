"""Estimates of what a study will measure and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gdws_explorer.network.network import Network
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.records import Record
from gdws_explorer.study.search import Search
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.study.study_spec import SearchSpec, StudySpec, SweepSpec

FRONT_SHARE = 10  # one of so many plans of a search is taken to be on the front


class JobEstimate(NamedTuple):
    """The plans and the time of a study.

    total : plans. known : plans that are measured already. at_most : whether `known` may turn out
    larger. seconds : for all that is missing; None where no measurement allows an estimate.
    guess : why `seconds` is only a guess; empty where it is not.
    """

    total: int
    known: int
    at_most: bool
    seconds: float | None
    guess: str


def estimate_job(
    spec: StudySpec,
    measurements: Measurements,
    views: NetworkViews,
    cancel: Callable[[], bool] | None = None,
) -> JobEstimate:
    """Counts the plans of a study, without measuring a plan or reading an image.

    Errors: those of the spec; BudgetError, ExplorerError.
    """
    under = calibration_attack(measurements.attack)
    lazy = {"data": views.calibrated(under), "weights": views.plain}
    unread = [source for source in spec.sources if source == "data" and lazy[source] is None]
    if spec.alpha and not views.knows_alpha(under):
        unread.append("alpha")
    if unread:  # plans of the weights instead: as many, or a few more or less
        networks: tuple[Network, ...] = (views.plain,) * len(spec.sources)
    else:
        networks = views.views(spec.sources, under, alpha=spec.alpha)
    stages = spec.stages(measurements.evaluator(*networks))
    first = stages[0].setting
    known = {record.plan.hash: record for record in measurements.records(first)}
    if isinstance(spec, SweepSpec):
        plans = spec.plans(networks[:1] if unread else networks)
        count = len(plans) * (len(networks) if unread else 1)
        measured = 0 if unread else sum(plan.hash in known for plan in plans)
    else:
        count = spec.evaluations
        measured = 0 if unread else _known_proposals(spec.search(networks), known, cancel)
    seconds, guess = measured_pace(measurements, first)
    spent = None if seconds is None else seconds * (count - measured)
    for later in stages[1:]:
        strong, _ = measured_pace(measurements, later.setting)
        on_front = max(1, count // FRONT_SHARE)
        spent = None if spent is None or strong is None else spent + strong * on_front
        guess = guess or f"with {on_front} plans on the front for the strong attack"
    if unread:
        guess = guess or "before the images are read"
    at_most = bool(unread) or isinstance(spec, SearchSpec)
    return JobEstimate(count, measured, at_most, spent, guess)


def _known_proposals(
    search: Search, known: Mapping[str, Record], cancel: Callable[[], bool] | None
) -> int:
    """The number of proposals before the first unknown one; all of an interrupted search."""
    count = 0
    for plan in search.plans():
        if plan.hash not in known or (cancel is not None and cancel()):
            return count
        search.tell(known[plan.hash])
        count += 1
    return count
