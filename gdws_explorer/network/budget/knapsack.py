"""Solves the multiple-choice knapsack problem of a network-wide budget, from a good solution.

The problem: one choice per layer, with the least total value and a total weight within a limit. A
linear relaxation gives a bound and a multiplier λ. A choice whose regret `value + λ·weight -
min(value + λ·weight)` exceeds the gap between the solution and the bound cannot be part of a better
solution. Few choices remain, and dynamic programming over the layers finds the best of them
(reduction as in Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gdws_explorer.typing import FloatArray, IntArray

STATES = 3_000  # partial sums kept per layer: the best ones, which may leave a gap


def improve(
    values: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    limit: float,
    multiplier: float,
    found: Sequence[int],
) -> tuple[list[int], bool]:
    """Returns positions, one per layer, of the least total value with total weight ≤ limit.

    multiplier : λ of the relaxation. found : positions of a solution within the limit, which is
    returned if there is no better one. The second result is whether the solution is proven best;
    it is unless there were more than STATES partial sums.
    """
    reduced = [v + multiplier * w for v, w in zip(values, weights, strict=True)]
    regrets = [r - r.min() for r in reduced]
    best = list(found)
    # A solution's value is the bound plus its regrets plus λ times the unused weight, so a better
    # one has less regret than this gap. Small regrets first: this is quick and shrinks the gap.
    for share in (1 / 256, 1 / 32, 1 / 4, 1.0):
        gap = _total(regrets, best) + multiplier * (limit - _total(weights, best))
        places, complete = _within(values, weights, regrets, limit, share * gap)
        # Sums in another order may differ in the last digit: the plain sum is decisive.
        inside = places is not None and _total(weights, places) <= limit
        if places is not None and inside and _total(values, places) < _total(values, best):
            best = places
        left = _total(regrets, best) + multiplier * (limit - _total(weights, best))
        if not complete or left <= share * gap:
            return best, complete
    return best, True


def _within(
    values: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    regrets: Sequence[FloatArray],
    limit: float,
    most: float,
) -> tuple[list[int] | None, bool]:
    """Returns the best solution of total regret ≤ `most`, and whether all were examined."""
    complete = True
    value = weight = regret = np.zeros(1)
    origins: list[tuple[IntArray, IntArray]] = []
    for layer in range(len(values)):
        usable = np.flatnonzero(regrets[layer] <= most)
        sums = regret[:, None] + regrets[layer][usable]
        before, chosen = np.nonzero(sums <= most)
        regret = sums[before, chosen]
        weight = weight[before] + weights[layer][usable[chosen]]
        value = value[before] + values[layer][usable[chosen]]
        kept = _front(weight, value)
        if len(kept) > STATES:
            complete = False
            kept = kept[np.argsort(regret[kept], kind="stable")[:STATES]]
        value, weight, regret = value[kept], weight[kept], regret[kept]
        origins.append((before[kept], usable[chosen[kept]]))
    inside = np.flatnonzero(weight <= limit)
    if not len(inside):
        return None, complete
    state = int(inside[np.argmin(value[inside])])
    places = []
    for before, chosen in reversed(origins):
        places.append(int(chosen[state]))
        state = int(before[state])
    return places[::-1], complete


def _front(weight: FloatArray, value: FloatArray) -> IntArray:
    """Returns the positions of the partial sums that no other one dominates."""
    order = np.lexsort((value, weight))
    before = np.minimum.accumulate(np.append(np.inf, value[order[:-1]]))
    return order[value[order] < before]


def _total(numbers: Sequence[FloatArray], places: Sequence[int]) -> float:
    """Returns the sum of the layers' numbers at these positions."""
    return sum(float(n[p]) for n, p in zip(numbers, places, strict=True))
