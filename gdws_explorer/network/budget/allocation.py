"""Allocates a network-wide budget: one choice for every layer.

Each layer's choices are points of cost and squared error. Errors of layers are added, so the
least error of the network under a budget is a multiple-choice knapsack problem. Its relaxation is
solved exactly by steps along the layers' lower convex hulls, in order of error removed per unit of
cost. What the last whole step leaves of the budget is filled with choices between the hull points,
and `knapsack` closes the rest of the gap. For GDWS alone, well below break-even, this is MEGO over
the whole network at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gdws_explorer.network.budget.knapsack import improve
from gdws_explorer.network.plans.choices import Choice
from gdws_explorer.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ChoiceSet:
    """Choices of one family for one layer, in any order.

    cost, error : `(n,)`. ranks : `(n, k)`: G, or r_out and r_in. family : class of the choices.
    """

    family: type[Choice]
    cost: IntArray
    error: FloatArray
    ranks: IntArray

    def choice(self, index: int) -> Choice:
        """Returns the choice at a position."""
        make: Callable[..., Choice] = self.family
        return make(*self.ranks[index].tolist())

    def undominated(self) -> ChoiceSet:
        """Returns the non-dominated choices, by rising cost and falling error."""
        keep = _undominated(self.cost, self.error)
        return replace(self, cost=self.cost[keep], error=self.error[keep], ranks=self.ranks[keep])


@dataclass(frozen=True, eq=False)
class FixedChoice:
    """The only choice of a layer that is fixed or skipped."""

    only: Choice
    cost: IntArray
    error: FloatArray

    def choice(self, index: int) -> Choice:
        """Returns the choice; the position does not matter."""
        return self.only


@dataclass(frozen=True, eq=False)
class ParetoTable:
    """The non-dominated choices of one layer, by rising cost and falling error.

    cost, error : `(n,)`. source, index : the place of each choice in `options`. hull : positions
    of the lower convex hull, `(h,)`, from the cheapest to the most exact choice.
    """

    options: Sequence[ChoiceSet | FixedChoice]
    cost: IntArray
    error: FloatArray
    source: IntArray
    index: IntArray
    hull: IntArray

    @classmethod
    def of(cls, options: Sequence[ChoiceSet | FixedChoice]) -> ParetoTable:
        """Returns the table of all choices that no other choice dominates."""
        cost = np.concatenate([o.cost for o in options])
        error = np.concatenate([o.error for o in options])
        source = np.repeat(np.arange(len(options)), [len(o.cost) for o in options])
        index = np.concatenate([np.arange(len(o.cost)) for o in options])
        keep = _undominated(cost, error)
        cost, error = cost[keep], error[keep]
        return cls(options, cost, error, source[keep], index[keep], _hull(cost, error))

    def choice(self, position: int) -> Choice:
        """Returns the choice at a position of the table."""
        return self.options[self.source.item(position)].choice(self.index.item(position))

    def cheapest(self, error: float) -> int:
        """Returns the position of the least cost with an error ≤ `error`, else the last one."""
        within = int(self._rising_error.searchsorted(error, "right"))
        return len(self.cost) - max(1, within)

    def best(self, cost: float) -> int:
        """Returns the position of the least error with a cost ≤ `cost`, else the first one."""
        return max(0, int(self.cost.searchsorted(cost, "right")) - 1)

    def weighted(self, weight: float) -> ParetoTable:
        """Returns the table with errors multiplied by a positive weight."""
        return replace(self, error=self.error * weight)

    @cached_property
    def _rising_error(self) -> FloatArray:
        return self.error[::-1]


class Allocation(NamedTuple):
    """One choice per layer, with its value and a lower bound.

    found : the total that was minimised: error under a cost, or cost under an error.
    bound : no combination of choices has a total below it; equals `found` if that is proven best.
    """

    choices: dict[str, Choice]
    found: float
    bound: float


class Allocator:
    """Network-wide allocations over the layers' tables, by name.

    least_cost, most_error : totals of the cheapest choices. least_error : of the most exact ones.
    """

    def __init__(self, named: Mapping[str, ParetoTable]) -> None:
        self.names = tuple(named)
        self.tables = tables = tuple(named.values())
        # Cost and removed error of every step along a layer's hull; `none` is for no steps at all.
        none = np.empty(0)
        owner = np.repeat(np.arange(len(tables)), [len(t.hull) - 1 for t in tables])
        spent = np.concatenate([none, *(np.diff(t.cost[t.hull]) for t in tables)]).astype(np.int64)
        gained = np.concatenate([none, *(-np.diff(t.error[t.hull]) for t in tables)])
        self.least_cost = sum(int(t.cost[0]) for t in tables)
        self.most_error = sum(float(t.error[0]) for t in tables)
        self.least_error = sum(float(t.error[-1]) for t in tables)
        order = np.argsort(-gained / spent, kind="stable")
        self._owner = owner[order]
        self._spent = np.cumsum(spent[order])
        self._gained = np.cumsum(gained[order])

    def under_cost(self, cost: int, *, exact: bool = True) -> Allocation:
        """Returns the least total error with total cost ≤ `cost`, which is ≥ `least_cost`.

        exact : whether to close the gap of the greedy steps; without it, microseconds.
        """
        spare = cost - self.least_cost
        steps = int(self._spent.searchsorted(spare, "right"))
        places = self._after(steps)
        slack = cost - sum(t.cost.item(p) for t, p in zip(self.tables, places, strict=True))

        def better(i: int) -> tuple[int, float]:
            table, place = self.tables[i], places[i]
            new = table.best(table.cost.item(place) + slack)
            return new, table.error.item(place) - table.error.item(new)

        for i in _worthwhile(better, len(places)):
            new, _ = better(i)
            slack -= self.tables[i].cost.item(new) - self.tables[i].cost.item(places[i])
            places[i] = new
        errors = [table.error for table in self.tables]
        bound, slope = self._relaxed(steps, spare, self._spent, self._gained)
        if exact and steps < len(self._spent):
            costs = [table.cost.astype(np.float64) for table in self.tables]
            places, best = improve(errors, costs, cost, slope, places)
            if best:
                return self._allocation(places, errors, math.inf)
        return self._allocation(places, errors, self.most_error - bound)

    def under_error(self, error: float, *, exact: bool = True) -> Allocation:
        """Returns the least total cost with total error ≤ `error`, which is ≥ `least_error`.

        The total is summed in the layers' order, as in a summary. exact : as in `under_cost`.
        """
        excess = self.most_error - error
        steps = min(int(self._gained.searchsorted(excess, "left")) + 1, len(self._gained))
        steps = 0 if excess <= 0 else steps
        places = self._after(steps)
        while True:
            total = sum(t.error.item(p) for t, p in zip(self.tables, places, strict=True))
            if total <= error or steps >= len(self._gained):
                break
            steps += 1  # the cumulative sums and the total may round differently
            places = self._after(steps)
        slack = error - total

        def better(i: int) -> tuple[int, float]:
            table, place = self.tables[i], places[i]
            new = table.cheapest(table.error.item(place) + slack)
            return new, float(table.cost.item(place) - table.cost.item(new))

        for i in _worthwhile(better, len(places)):
            new, gain = better(i)
            added = self.tables[i].error.item(new) - self.tables[i].error.item(places[i])
            if gain > 0 and added <= slack:
                slack -= added
                places[i] = new
        costs = [table.cost.astype(np.float64) for table in self.tables]
        bound, slope = self._relaxed(max(0, steps - 1), excess, self._gained, self._spent)
        if exact and excess > 0:
            errors = [table.error for table in self.tables]
            places, best = improve(costs, errors, error, slope, places)
            if best:
                return self._allocation(places, costs, math.inf)
        return self._allocation(places, costs, self.least_cost + bound)

    def _relaxed(
        self, steps: int, amount: float, given: FloatArray | IntArray, taken: FloatArray | IntArray
    ) -> tuple[float, float]:
        """Returns what the relaxation takes for `amount` given, and the rate of its last step.

        given, taken : sums over the steps. steps : taken whole; the next one in part.
        """
        if not len(given):
            return 0.0, 0.0
        last = min(steps, len(given) - 1)
        before = (float(given[last - 1]), float(taken[last - 1])) if last else (0.0, 0.0)
        rate = (float(taken[last]) - before[1]) / (float(given[last]) - before[0])
        share = min(max(amount - before[0], 0.0), float(given[last]) - before[0])
        return before[1] + rate * share, rate

    def _allocation(
        self, places: Sequence[int], values: Sequence[FloatArray], bound: float
    ) -> Allocation:
        """Returns the choices at these positions, with their total value."""
        found = float(sum(v.item(p) for v, p in zip(values, places, strict=True)))
        chosen = (t.choice(p) for t, p in zip(self.tables, places, strict=True))
        return Allocation(
            dict(zip(self.names, chosen, strict=True)), found, min(max(bound, 0.0), found)
        )

    def _after(self, steps: int) -> list[int]:
        """Returns the layers' positions after the first steps."""
        taken = np.bincount(self._owner[:steps], minlength=len(self.tables)).tolist()
        return [t.hull.item(n) for t, n in zip(self.tables, taken, strict=True)]


def _worthwhile(better: Callable[[int], tuple[int, float]], layers: int) -> list[int]:
    """Returns the layers that the slack can improve, in order of falling gain."""
    gains = [(better(i)[1], i) for i in range(layers)]
    return [i for gain, i in sorted(gains, key=lambda pair: -pair[0]) if gain > 0]


def _undominated(cost: IntArray, error: FloatArray) -> IntArray:
    """Returns the positions of the non-dominated points, by rising cost."""
    order = np.lexsort((error, cost))
    best_before = np.minimum.accumulate(np.append(np.inf, error[order[:-1]]))
    undominated: IntArray = order[error[order] < best_before]
    return undominated


def _hull(cost: IntArray, error: FloatArray) -> IntArray:
    """Returns the positions of the lower convex hull of points of rising cost, falling error."""
    hull = np.arange(len(cost))
    while len(hull) > 2:
        slope = np.diff(error[hull]) / np.diff(cost[hull])
        # A point on or above the chord of its neighbours is not needed; dropping all such
        # points at once is safe, since every chord joins two real choices.
        inside = np.append(True, np.append(slope[:-1] < slope[1:], True))
        if inside.all():
            break
        hull = hull[inside]
    return hull
