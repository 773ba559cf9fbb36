"""What a person orders to be measured: a sweep or a search, and how much of it is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gdws_explorer.explore.aim import Aim
from gdws_explorer.explore.attacking import learning
from gdws_explorer.explore.measurements import Measurements
from gdws_explorer.explore.meter import Meter
from gdws_explorer.explore.pace import pace
from gdws_explorer.explore.records import Record
from gdws_explorer.explore.search import Search
from gdws_explorer.explore.sources import Sources
from gdws_explorer.explore.sweep import Grid, distinct
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.attacks import Attack


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
    first = first_meter(order, meter)
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


def first_meter(order: Order, last: Meter) -> Meter:
    """How the first stage measures, where `last` is how the last one does."""
    if isinstance(order, Sweep) or order.screen is None or order.screen == last.attack:
        return last
    return Meter(last.networks, last.data, order.screen, last.n, last.seed, last.images)


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
