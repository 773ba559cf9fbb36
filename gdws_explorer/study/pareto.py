"""Pareto fronts and hypervolumes of records and of tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray, IntArray


def front_indices(records: Sequence[Record], metric: str, cost: str) -> list[int]:
    """Returns positions of the non-dominated records by rising cost, without unmeasured ones."""
    nothing = float("nan")
    values = [
        (getattr(r, cost), nothing if r.accuracy(metric) is None else r.accuracy(metric))
        for r in records
    ]
    if not values:
        return []
    found = front(np.array(values, dtype=np.float64), [False, True])
    return sorted(map(int, found), key=lambda i: values[i])


def front_records(records: Sequence[Record], metric: str, cost: str) -> list[Record]:
    """Returns the non-dominated records by rising cost; ExplorerError where there are none."""
    line = [records[i] for i in front_indices(records, metric, cost)]
    if not line:
        raise ExplorerError("the front is empty; evaluate a plan first.")
    return line


def neighbour(records: Sequence[Record], here: float, step: int, metric: str, cost: str) -> Record:
    """Returns the next record of the front after the cost `here`: +1 more expensive, -1 cheaper."""
    line = front_records(records, metric, cost)
    ahead = [r for r in line if (getattr(r, cost) - here) * step > 0]
    if not ahead:
        end = "most expensive" if step > 0 else "cheapest"
        raise ExplorerError(f"this is the {end} end of the front.")
    return ahead[0] if step > 0 else ahead[-1]


MANY = 10_000  # rows from which on it pays to drop most of them before sorting


def front(values: npt.ArrayLike, maximize: Sequence[bool]) -> IntArray:
    """Returns the non-dominated rows.

    A row dominates another when it is at least as good in every column and better in one. Equal
    rows do not dominate each other; a row with a NaN is never on the front.

    Parameters
    ----------
    values : array_like, shape (n, d)
        One row per record; d is 1, 2 or 3.
    maximize : sequence of bool, length d
        Whether that column is maximised.

    Returns
    -------
    ndarray of int
        The rows on the front, ascending. O(n log n) for one and two objectives,
        O(n log² n) for three.

    Raises
    ------
    DataError
        `values` is not `(n, d)` with d the length of `maximize` and at most 3.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.size == 0:
        return np.empty(0, dtype=np.intp)
    if table.ndim != 2 or not 1 <= table.shape[1] <= 3 or table.shape[1] != len(maximize):
        raise DataError(
            f"values has shape {table.shape}; expected (n, d) with d = len(maximize) = "
            f"{len(maximize)} and d 1, 2 or 3."
        )
    rows = np.flatnonzero(~np.isnan(table).any(axis=1))
    if rows.size == 0:
        return rows
    # From here on all columns are minimised, and the first one is sorted.
    costs = np.where(np.asarray(maximize, dtype=bool), -table[rows], table[rows])
    if len(costs) > MANY:
        candidate = _candidate(costs)
        rows, costs = rows[candidate], costs[candidate]
    order = np.lexsort(costs.T[::-1])
    costs = costs[order]
    first = np.ones(len(costs), dtype=bool)  # the first of a run of equal rows
    first[1:] = (costs[1:] != costs[:-1]).any(axis=1)
    unique = costs[first]
    keep = _front_of_two(unique) if unique.shape[1] <= 2 else _front_of_three(unique)
    kept_rows: IntArray = rows[order[keep[np.cumsum(first) - 1]]]
    kept_rows.sort()
    return kept_rows


def _candidate(costs: FloatArray) -> npt.NDArray[np.bool_]:
    """All rows but those that one good row dominates: the best of a thousand by sum of ranks."""
    sample = costs[:: len(costs) // 1000]
    ranks = sample.argsort(axis=0).argsort(axis=0)
    good = sample[ranks.sum(axis=1).argmin()]
    # column by column: a reduction along rows of two or three takes ten times as long
    candidate = costs[:, 0] < good[0]
    equal = costs[:, 0] == good[0]
    for column, least in zip(costs.T[1:], good[1:], strict=True):
        candidate |= column < least
        equal &= column == least
    kept: npt.NDArray[np.bool_] = candidate | equal
    return kept


def _front_of_two(costs: FloatArray) -> npt.NDArray[np.bool_]:
    """For distinct rows in lexicographic order: whether the last column is a new minimum.

    With one column that is the first row alone.
    """
    last = costs[:, -1]
    keep = np.ones(len(last), dtype=bool)
    keep[1:] = last[1:] < np.minimum.accumulate(last)[:-1]
    return keep


def _front_of_three(costs: FloatArray) -> npt.NDArray[np.bool_]:
    """Divide and conquer over the first column, one vectorised pass per level.

    In lexicographic order only an earlier row can dominate a later one, and it does when it is no
    worse in columns two and three. A level splits the positions into blocks of two halves. Within
    a block, in the order of column two, a row of the right half is dominated when an earlier row
    of the left half has a third column at most as large. Every pair of rows is compared at exactly
    one level.
    """
    n = len(costs)
    third = np.unique(costs[:, 2], return_inverse=True)[1]  # dense ranks, 0 … n - 1
    # Sorted by column two; equal ones by position, so that the left half goes first.
    order = np.argsort(costs[:, 1], kind="stable")
    for level in range(max(n - 1, 1).bit_length() - 1, -1, -1):
        # One running minimum serves all blocks: each block lies below everything before it.
        floor = -(order >> (level + 1)) * (n + 1)
        right = (order >> level) & 1 == 1
        best = np.minimum.accumulate(floor + np.where(right, n, third[order]))
        beaten = right & (floor + third[order] >= best)
        # A row that dominates a removed row is, or is dominated by, a row that remains.
        order = order[~beaten]
        order = order[np.argsort(order >> level, kind="stable")]
    keep = np.zeros(n, dtype=bool)
    keep[order] = True
    return keep


def hypervolume(
    values: npt.ArrayLike, maximize: Sequence[bool], reference: Sequence[float]
) -> float:
    """Returns the volume between a reference point and the front (Zitzler & Thiele, PPSN 1998).

    Parameters
    ----------
    values : array_like, shape (n, d)
        One row per record; d is 1, 2 or 3. Rows with a NaN do not count.
    maximize : sequence of bool, length d
        Whether that column is maximised.
    reference : sequence of float, length d
        A row counts only where it is better than this point in every column.

    Returns
    -------
    float
        The volume, 0 where no row counts. O(n log n) for one and two
        objectives, O(n² log n) for three.

    Raises
    ------
    DataError
        As in `front`, or a reference of another length.
    """
    if len(reference) != len(maximize):
        raise DataError(f"reference has {len(reference)} numbers; expected {len(maximize)}.")
    table = np.asarray(values, dtype=np.float64)
    kept = table[front(table, maximize)] if table.size else np.empty((0, len(maximize)))
    # From here on a row is how much it is better than the reference, column by column.
    gain = np.where(np.asarray(maximize, dtype=bool), 1.0, -1.0) * (kept - np.asarray(reference))
    return _volume(gain[(gain > 0).all(axis=1)])


def hypervolume_history(
    values: npt.ArrayLike, maximize: Sequence[bool], reference: Sequence[float]
) -> FloatArray:
    """Returns the hypervolume after the first, the second … row: `(n,)`, non-decreasing."""
    table = np.asarray(values, dtype=np.float64).reshape(-1, len(maximize))
    grown = np.zeros(len(table))
    best = np.empty((0, len(maximize)))
    volume = 0.0
    for place, row in enumerate(table):
        larger = np.vstack([best, row])
        kept = front(larger, maximize)
        if len(larger) - 1 in kept:
            best = np.unique(larger[kept], axis=0)
            volume = hypervolume(best, maximize, reference)
        grown[place] = volume
    return grown


def _volume(gain: FloatArray) -> float:
    """Returns the volume of the union of boxes from the origin to every row."""
    if not len(gain):
        return 0.0
    if gain.shape[1] == 1:
        return float(gain.max())
    gain = gain[np.argsort(-gain[:, 0], kind="stable")]
    if gain.shape[1] == 2:
        height = np.maximum.accumulate(gain[:, 1])
        width = gain[:, 0] - np.append(gain[1:, 0], 0.0)
        return float((width * height).sum())
    # Slices along the first column: the further in, the more rows reach into them.
    depth = gain[:, 0] - np.append(gain[1:, 0], 0.0)
    areas = [_volume(gain[: count + 1, 1:]) if deep else 0.0 for count, deep in enumerate(depth)]
    return float((depth * np.array(areas)).sum())
