"""The last step of a network-wide budget: a multiple-choice knapsack, closed from both sides.

One choice per layer, the least total value with a total weight within a limit. A linear relaxation
gives a bound and a multiplier λ; a choice whose regret `value + λ·weight - min(value + λ·weight)`
exceeds the gap between what is found and the bound cannot be part of anything better. What remains
is little, and dynamic programming over the layers settles it (reduction as in Pisinger, "A
minimal algorithm for the multiple-choice knapsack problem", 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STATES = 3_000  # partial sums kept per layer; beyond, the best are kept and the gap may stay open


def improve(
    values: Sequence[Floats],
    weights: Sequence[Floats],
    limit: float,
    multiplier: float,
    found: Sequence[int],
) -> tuple[list[int], bool]:
    """Positions, one per layer, of the least total value with total weight ≤ limit.

    multiplier : λ of the relaxation. found : positions of a solution within the limit; it is
    returned where nothing better is found. The second result: whether this is proven best, which
    it is unless more than STATES partial sums were at hand.
    """
    reduced = [v + multiplier * w for v, w in zip(values, weights, strict=True)]
    regrets = [r - r.min() for r in reduced]
    best = list(found)
    # A solution's value is the bound, its regrets and λ times the weight it leaves: so what is
    # better has less regret than this gap. Little regret first: it is quick, and shrinks the gap.
    for share in (1 / 256, 1 / 32, 1 / 4, 1.0):
        gap = _total(regrets, best) + multiplier * (limit - _total(weights, best))
        places, whole = _within(values, weights, regrets, limit, share * gap)
        # Sums by another order may differ in the last digit: what counts is the plain sum.
        inside = places is not None and _total(weights, places) <= limit
        if places is not None and inside and _total(values, places) < _total(values, best):
            best = places
        left = _total(regrets, best) + multiplier * (limit - _total(weights, best))
        if not whole or left <= share * gap:
            return best, whole
    return best, True


def _within(
    values: Sequence[Floats],
    weights: Sequence[Floats],
    regrets: Sequence[Floats],
    limit: float,
    most: float,
) -> tuple[list[int] | None, bool]:
    """The best solution whose regrets sum to at most `most`, and whether all were looked at."""
    whole = True
    value = weight = regret = np.zeros(1)
    came: list[tuple[Ints, Ints]] = []
    for layer in range(len(values)):
        able = np.flatnonzero(regrets[layer] <= most)
        sums = regret[:, None] + regrets[layer][able]
        before, chosen = np.nonzero(sums <= most)
        regret = sums[before, chosen]
        weight = weight[before] + weights[layer][able[chosen]]
        value = value[before] + values[layer][able[chosen]]
        kept = _front(weight, value)
        if len(kept) > STATES:
            whole = False
            kept = kept[np.argsort(regret[kept], kind="stable")[:STATES]]
        value, weight, regret = value[kept], weight[kept], regret[kept]
        came.append((before[kept], able[chosen[kept]]))
    inside = np.flatnonzero(weight <= limit)
    if not len(inside):
        return None, whole
    state = int(inside[np.argmin(value[inside])])
    places = []
    for before, chosen in reversed(came):
        places.append(int(chosen[state]))
        state = int(before[state])
    return places[::-1], whole


def _front(weight: Floats, value: Floats) -> Ints:
    """Partial sums that no other beats in both weight and value."""
    order = np.lexsort((value, weight))
    before = np.minimum.accumulate(np.append(np.inf, value[order[:-1]]))
    return order[value[order] < before]


def _total(numbers: Sequence[Floats], places: Sequence[int]) -> float:
    return sum(float(n[p]) for n, p in zip(numbers, places, strict=True))
