"""What a person orders to be measured: a sweep or a search, how much of it is left, and its run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gdws_explorer.explore.aim import Aim
from gdws_explorer.explore.attacking import learning
from gdws_explorer.explore.batch import Batch, Crew, Here, Progress
from gdws_explorer.explore.measurements import Measurements
from gdws_explorer.explore.meter import Meter
from gdws_explorer.explore.pace import pace
from gdws_explorer.explore.pareto import FloatArray
from gdws_explorer.explore.records import Record
from gdws_explorer.explore.search import Search
from gdws_explorer.explore.sources import Sources
from gdws_explorer.explore.sweep import Grid, distinct
from gdws_explorer.explore.turns import Turns
from gdws_explorer.explore.workers import crew
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.attacks import Attack

OFTEN = 0.1  # seconds between two words about progress


@dataclass(frozen=True)
class Sweep:
    """Plans of a grid. sources : KINDS that they are made from. alpha : weigh β by eq. 8."""

    grid: Grid
    sources: tuple[str, ...] = ("weights",)
    alpha: bool = False

    def plans(self, networks: Sequence[Network]) -> tuple[Plan, ...]:
        """Every plan once."""
        return distinct(plan for network in networks for plan in self.grid.plans(network))


@dataclass(frozen=True)
class Hunt:
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

    def aim(self, network: Network) -> Aim:
        """What it is for; ExplorerError."""
        return Aim(network, self.objectives, dict(self.constraints))

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


Order = Sweep | Hunt


class Expected(NamedTuple):
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


def expected(
    order: Order,
    measured: Measurements,
    sources: Sources,
    cancel: Callable[[], bool] | None = None,
) -> Expected:
    """Count what an order will measure, without measuring or reading an image.

    Errors: those of the order; BudgetError, ExplorerError.
    """
    under = learning(measured.attack)
    lazy = {"data": sources.calibrated(under), "weights": sources.plain}
    unread = [kind for kind in order.sources if kind == "data" and lazy[kind] is None]
    if order.alpha and not sources.knows_alpha(under):
        unread.append("alpha")
    if unread:  # plans of the weights instead: as many, or a few more or less
        networks: tuple[Network, ...] = (sources.plain,) * len(order.sources)
    else:
        networks = sources.views(order.sources, under, alpha=order.alpha)
    meter = measured.meter(*networks)
    first = _first(order, meter)
    known = {record.plan.hash: record for record in measured.records(first.setting)}
    if isinstance(order, Sweep):
        plans = order.plans(networks[:1] if unread else networks)
        count = len(plans) * (len(networks) if unread else 1)
        there = 0 if unread else sum(plan.hash in known for plan in plans)
    else:
        count = order.evaluations
        there = 0 if unread else _proposed(order.finder(networks), known, cancel)
    seconds, guess = pace(measured, first.setting)
    spent = None if seconds is None else seconds * (count - there)
    if isinstance(order, Hunt) and order.screen is not None:
        strong, _ = pace(measured)
        later = max(1, order.evaluations // 10)
        spent = None if spent is None or strong is None else spent + strong * later
        guess = guess or f"with {later} plans on the front for the strong attack"
    if unread:
        guess = guess or "before the images are read"
    return Expected(count, there, bool(unread) or isinstance(order, Hunt), spent, guess)


class Errand:
    """An order on its way: one after the other its plans are measured, and the records kept.

    arrived : called with every record that is new in the present setting. moved : called when the
    progress moves, ten times a second at most. workers : processes of this machine, None for this
    one, which takes a turn for every plan. limit : measure only so many plans.
    """

    def __init__(
        self,
        order: Order,
        measured: Measurements,
        sources: Sources,
        *,
        workers: int | None = None,
        limit: int | None = None,
        arrived: Callable[[Record], None] = lambda record: None,
        moved: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.order = order
        self.stage = ""
        self.records: list[Record] = []  # of the first setting, as they came
        self.aim: Aim | None = None
        self.progress = Progress()
        self._measured = measured
        self._meter = measured.meter(sources.plain)  # the setting may change meanwhile
        self._sources = sources
        self._turns = measured.turns
        self._workers = workers
        self._limit = limit
        self._arrived = arrived
        self._moved = moved
        self._batch: Batch | None = None
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
        under = learning(self._meter.attack)
        order = self.order
        self.stage = "reading images" if order.sources != ("weights",) or order.alpha else ""
        with self._turns.turn(cancelled):
            networks = self._sources.views(
                order.sources, under, alpha=order.alpha, progress=progress, cancel=cancelled
            )
        now = self._meter
        last = Meter(networks, now.data, now.attack, now.n, now.seed, now.images)
        first = _first(order, last)
        if isinstance(order, Sweep):
            self.stage = ""
            self.aim = Aim(networks[0], _objectives(last))
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
        meter: Meter,
        plans: Iterable[Plan],
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
        learn: Callable[[Record], None],
        total: int | None = None,
    ) -> None:
        if self._limit is not None:
            known = {record.plan.hash for record in self._measured.records(meter.setting)}
            plans = _missing(plans, known, self._limit)
            total = self._limit

        def say(now: Progress) -> None:
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
        with self._crew(meter) as those:
            self._batch.run(those)

    @contextmanager
    def _crew(self, meter: Meter) -> Iterator[Crew]:
        if self._workers is None:
            yield _InTurn(meter, self._turns)
            return
        ahead = 1 if isinstance(self.order, Hunt) else 2  # as in gx.search
        with crew(meter, workers=self._workers, ahead=ahead) as those:
            yield those


class _InTurn(Here):
    """A process that others want to measure in as well."""

    def __init__(self, meter: Meter, turns: Turns) -> None:
        super().__init__(meter)
        self._turns = turns

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """Measure the plan when it is its turn."""
        with self._turns.turn(cancel):
            return super().finished(timeout, progress, cancel)


def _first(order: Order, last: Meter) -> Meter:
    """How the first stage measures."""
    if isinstance(order, Sweep) or order.screen is None or order.screen == last.attack:
        return last
    return Meter(last.networks, last.data, order.screen, last.n, last.seed, last.images)


def _objectives(meter: Meter) -> tuple[str, ...]:
    return ("clean" if meter.attack is None else "robust", "macs")


def _missing(plans: Iterable[Plan], known: Collection[str], limit: int) -> Iterator[Plan]:
    """The first so many plans that are not known."""
    fresh = (plan for plan in plans if plan.hash not in known)
    for _, plan in zip(range(limit), fresh, strict=False):
        yield plan


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
