"""An order on its way, in this process or others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.study.attack_settings import calibration_attack
from gdws_explorer.study.executors import executor_for
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.pareto import FloatArray
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record
from gdws_explorer.study.runner import StudyProgress, StudyRun
from gdws_explorer.study.search import Search
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.study.sweep import Grid, distinct

OFTEN = 0.1  # seconds between two words about progress


class StudyJob:
    """An order on its way: one after the other its plans are measured, and the records kept.

    arrived : called with every record that is new in the present setting. moved : called when the
    progress moves, ten times a second at most. workers : processes of this machine, None for this
    one. limit : measure only so many plans.
    """

    def __init__(
        self,
        order: StudySpec,
        measured: Measurements,
        sources: NetworkViews,
        *,
        workers: int | None = None,
        limit: int | None = None,
        arrived: Callable[[Record], None] = lambda record: None,
        moved: Callable[[StudyProgress], None] = lambda progress: None,
    ) -> None:
        self.order = order
        self.stage = ""
        self.records: list[Record] = []  # of the first setting, as they came
        self.aim: Objectives | None = None
        self.progress = StudyProgress()
        self._measured = measured
        self._meter = measured.meter(sources.plain)  # the setting may change meanwhile
        self._sources = sources
        self._workers = workers
        self._limit = limit
        self._arrived = arrived
        self._moved = moved
        self._batch: StudyRun | None = None
        self._going = threading.Event()
        self._going.set()
        self._said = 0.0

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Begin no further plan; what is under way is measured and kept."""
        self._going.clear()
        if self._batch is not None:
            self._batch.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._going.set()
        if self._batch is not None:
            self._batch.resume()

    @property
    def growth(self) -> FloatArray:
        """The hypervolume after every record of the first setting: `(n,)`."""
        if self.aim is None:
            return np.empty(0)
        return np.asarray(self.aim.growth(list(self.records)), dtype=np.float64)

    def work(self, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        """Do it; made for `Jobs`. Raises Cancelled, and what a measurement raises."""
        under = calibration_attack(self._meter.attack)
        order = self.order
        self.stage = "reading images" if order.sources != ("weights",) or order.alpha else ""
        networks = self._sources.views(
            order.sources, under, alpha=order.alpha, progress=progress, cancel=cancelled
        )
        now = self._meter
        last = PlanEvaluator(networks, now.data, now.attack, now.n, now.seed, now.images)
        first = first_evaluator(order, last)
        if isinstance(order, SweepSpec):
            self.stage = ""
            self.aim = Objectives(networks[0], _objectives(last))
            self._run(last, order.plans(networks), progress, cancelled, self._keep)
            return
        self.stage = "screening" if first is not last else ""
        finder = order.finder(networks)
        self.aim = finder.aim

        def learn(record: Record) -> None:
            finder.tell(record)
            self._keep(record)

        total = order.evaluations
        self._run(first, finder.plans(), progress, cancelled, learn, total=total)
        if first is not last and self._limit is None:
            self.stage = "the front under the strong attack"
            plans = tuple(record.plan for record in finder.aim.front(self.records))
            self._run(last, plans, progress, cancelled, self._arrived)

    def _keep(self, record: Record) -> None:
        self.records.append(record)
        self._arrived(record)

    def _run(
        self,
        meter: PlanEvaluator,
        plans: Iterable[Plan],
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
        learn: Callable[[Record], None],
        total: int | None = None,
    ) -> None:
        if self._limit is not None:
            known = {record.plan.hash for record in self._measured.records(meter.setting)}
            plans, total = _up_to(plans, known, self._limit), None

        def say(now: StudyProgress) -> None:
            self.progress = now
            moment = time.monotonic()
            if moment - self._said >= OFTEN or now.done == now.total:
                self._said = moment
                progress(now.fraction)
                self._moved(now)

        self._batch = self._measured.batch(
            plans, meter=meter, total=total, record=learn, progress=say, cancel=cancelled
        )
        if self.paused:
            self._batch.pause()
        ahead = 1 if isinstance(self.order, SearchSpec) else 2  # as in gx.search
        with executor_for(meter, workers=self._workers, ahead=ahead) as those:
            self._batch.run(those)


def _objectives(meter: PlanEvaluator) -> tuple[str, ...]:
    return ("clean" if meter.attack is None else "robust", "macs")


def _up_to(plans: Iterable[Plan], known: Collection[str], limit: int) -> Iterator[Plan]:
    """Plans until so many of them are not known; a search has to hear of the others too."""
    fresh = 0
    for plan in plans:
        yield plan
        fresh += plan.hash not in known
        if fresh == limit:
            return


@dataclass(frozen=True)
class SweepSpec:
    """Plans of a grid. sources : KINDS that they are made from. alpha : weigh β by eq. 8."""

    grid: Grid
    sources: tuple[str, ...] = ("weights",)
    alpha: bool = False

    def plans(self, networks: Sequence[Network]) -> tuple[Plan, ...]:
        """Every plan once."""
        return distinct(plan for network in networks for plan in self.grid.plans(network))


@dataclass(frozen=True)
class SearchSpec:
    """Plans that a search proposes; its fields are those of `gx.search`.

    screen : a cheaper attack that all of them meet first; then only the front meets the strong one.
    """

    objectives: tuple[str, ...] = ("robust", "macs")
    constraints: Mapping[str, float] = field(default_factory=dict)
    evaluations: int = 150
    sampler: str = "nsga2"
    sampler_seed: int = 0
    families: tuple[str, ...] | None = None
    screen: Attack | None = None
    sources: tuple[str, ...] = ("weights",)
    alpha: bool = False

    def aim(self, network: Network) -> Objectives:
        """What it is for; ExplorerError."""
        return Objectives(network, self.objectives, dict(self.constraints))

    def finder(self, networks: Sequence[Network]) -> Search:
        """Who proposes."""
        return Search(
            networks,
            self.aim(networks[0]),
            evaluations=self.evaluations,
            families=self.families,
            sampler=self.sampler,
            seed=self.sampler_seed,
        )


StudySpec = SweepSpec | SearchSpec


class JobEstimate(NamedTuple):
    """What an order will take.

    total : plans. known : of them are measured already. at_most : whether `known` may turn out
    larger. seconds : for all that is missing, None where nothing was measured like this. guess :
    why that is only a guess; empty where it is not.
    """

    total: int
    known: int
    at_most: bool
    seconds: float | None
    guess: str


def estimate_job(
    order: StudySpec,
    measured: Measurements,
    sources: NetworkViews,
    cancel: Callable[[], bool] | None = None,
) -> JobEstimate:
    """Count what an order will measure, without measuring or reading an image.

    Errors: those of the order; BudgetError, ExplorerError.
    """
    under = calibration_attack(measured.attack)
    lazy = {"data": sources.calibrated(under), "weights": sources.plain}
    unread = [kind for kind in order.sources if kind == "data" and lazy[kind] is None]
    if order.alpha and not sources.knows_alpha(under):
        unread.append("alpha")
    if unread:  # plans of the weights instead: as many, or a few more or less
        networks: tuple[Network, ...] = (sources.plain,) * len(order.sources)
    else:
        networks = sources.views(order.sources, under, alpha=order.alpha)
    meter = measured.meter(*networks)
    first = first_evaluator(order, meter)
    known = {record.plan.hash: record for record in measured.records(first.setting)}
    if isinstance(order, SweepSpec):
        plans = order.plans(networks[:1] if unread else networks)
        count = len(plans) * (len(networks) if unread else 1)
        there = 0 if unread else sum(plan.hash in known for plan in plans)
    else:
        count = order.evaluations
        there = 0 if unread else _proposed(order.finder(networks), known, cancel)
    seconds, guess = measured_pace(measured, first.setting)
    spent = None if seconds is None else seconds * (count - there)
    if isinstance(order, SearchSpec) and order.screen is not None:
        strong, _ = measured_pace(measured)
        later = max(1, order.evaluations // 10)
        spent = None if spent is None or strong is None else spent + strong * later
        guess = guess or f"with {later} plans on the front for the strong attack"
    if unread:
        guess = guess or "before the images are read"
    return JobEstimate(count, there, bool(unread) or isinstance(order, SearchSpec), spent, guess)


def first_evaluator(order: StudySpec, last: PlanEvaluator) -> PlanEvaluator:
    """How the first stage measures, where `last` is how the last one does."""
    if isinstance(order, SweepSpec) or order.screen is None or order.screen == last.attack:
        return last
    return PlanEvaluator(last.networks, last.data, order.screen, last.n, last.seed, last.images)


def _proposed(
    finder: Search, known: Mapping[str, Record], cancel: Callable[[], bool] | None
) -> int:
    """How many proposals are known before the first that is not; an interrupted search's all."""
    count = 0
    for plan in finder.plans():
        if plan.hash not in known or (cancel is not None and cancel()):
            return count
        finder.tell(known[plan.hash])
        count += 1
    return count
