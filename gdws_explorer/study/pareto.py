"""The front as a line of records that one can walk along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.records import Record


def front_indices(records: Sequence[Record], metric: str, cost: str) -> list[int]:
    """Positions of the non-dominated records by rising cost; those without the metric are out."""
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
    """The non-dominated records by rising cost; ExplorerError where there is none."""
    line = [records[i] for i in front_indices(records, metric, cost)]
    if not line:
        raise ExplorerError("the front is empty; evaluate a plan first.")
    return line


def neighbour(records: Sequence[Record], here: float, step: int, metric: str, cost: str) -> Record:
    """The next record of the front after the cost `here`: step +1 dearer, -1 cheaper."""
    line = front_records(records, metric, cost)
    ahead = [r for r in line if (getattr(r, cost) - here) * step > 0]
    if not ahead:
        end = "most costly" if step > 0 else "cheapest"
        raise ExplorerError(f"this is the {end} end of the front.")
    return ahead[0] if step > 0 else ahead[-1]


IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]


MANY = 10_000  # rows from which on it pays to drop most of them before sorting


def front(values: npt.ArrayLike, maximize: Sequence[bool]) -> IntArray:
    """Find the rows that no other row beats.

    A row beats another when it is at least as good in every column and better in one. Equal rows
    do not beat each other, so duplicates stay together; a row with a NaN is never on the front.

    Parameters
    ----------
    values : array_like, shape (n, d)
        One row per record; d is 1, 2 or 3.
    maximize : sequence of bool, length d
        Whether more of that column is better.

    Returns
    -------
    ndarray of int
        The rows on the front, ascending. O(n log n) for one and two objectives,
        O(n log² n) for three.

    Raises
    ------
    ValueError
        `values` is not `(n, d)` with d the length of `maximize` and at most 3.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.size == 0:
        return np.empty(0, dtype=np.intp)
    if table.ndim != 2 or not 1 <= table.shape[1] <= 3 or table.shape[1] != len(maximize):
        raise ValueError(
            f"values has shape {table.shape}; expected (n, d) with d = len(maximize) = "
            f"{len(maximize)} and d 1, 2 or 3."
        )
    rows = np.flatnonzero(~np.isnan(table).any(axis=1))
    if rows.size == 0:
        return rows
    # From here on less is better, and the first column comes sorted.
    costs = np.where(np.asarray(maximize, dtype=bool), -table[rows], table[rows])
    if len(costs) > MANY:
        hopeful = _hopeful(costs)
        rows, costs = rows[hopeful], costs[hopeful]
    order = np.lexsort(costs.T[::-1])
    costs = costs[order]
    first = np.ones(len(costs), dtype=bool)  # the first of a run of equal rows
    first[1:] = (costs[1:] != costs[:-1]).any(axis=1)
    unique = costs[first]
    keep = _front_of_two(unique) if unique.shape[1] <= 2 else _front_of_three(unique)
    kept_rows: IntArray = rows[order[keep[np.cumsum(first) - 1]]]
    kept_rows.sort()
    return kept_rows


def _hopeful(costs: FloatArray) -> npt.NDArray[np.bool_]:
    """All rows but those that one good row beats: the best of a thousand by its sum of ranks."""
    sample = costs[:: len(costs) // 1000]
    ranks = sample.argsort(axis=0).argsort(axis=0)
    good = sample[ranks.sum(axis=1).argmin()]
    # column by column: a reduction along rows of two or three takes ten times as long
    hopeful = costs[:, 0] < good[0]
    equal = costs[:, 0] == good[0]
    for column, least in zip(costs.T[1:], good[1:], strict=True):
        hopeful |= column < least
        equal &= column == least
    kept: npt.NDArray[np.bool_] = hopeful | equal
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

    In lexicographic order only an earlier row can beat a later one, and it does when it is no
    worse in columns two and three. A level splits the positions into blocks of two halves; within
    a block, walked by column two, a row of the right half is beaten when a row of the left half
    had a third column at most as large. Every pair of rows meets at exactly one level.
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
        # Whoever beats a beaten row is beaten by, or is, a row that remains.
        order = order[~beaten]
        order = order[np.argsort(order >> level, kind="stable")]
    keep = np.zeros(n, dtype=bool)
    keep[order] = True
    return keep


def hypervolume(
    values: npt.ArrayLike, maximize: Sequence[bool], reference: Sequence[float]
) -> float:
    """The volume between a reference point and the front (Zitzler & Thiele, PPSN 1998).

    Parameters
    ----------
    values : array_like, shape (n, d)
        One row per record; d is 1, 2 or 3. Rows with a NaN count nothing.
    maximize : sequence of bool, length d
        Whether more of that column is better.
    reference : sequence of float, length d
        A point that every counted row is better than in every column; others count nothing.

    Returns
    -------
    float
        The volume, 0 where nothing is better than the reference. O(n log n) for one and two
        objectives, O(n² log n) for three.

    Raises
    ------
    ValueError
        As in `front`, or a reference of another length.
    """
    if len(reference) != len(maximize):
        raise ValueError(f"reference has {len(reference)} numbers; expected {len(maximize)}.")
    table = np.asarray(values, dtype=np.float64)
    kept = table[front(table, maximize)] if table.size else np.empty((0, len(maximize)))
    # From here on a row is how much it is better than the reference, column by column.
    gain = np.where(np.asarray(maximize, dtype=bool), 1.0, -1.0) * (kept - np.asarray(reference))
    return _volume(gain[(gain > 0).all(axis=1)])


def hypervolume_history(
    values: npt.ArrayLike, maximize: Sequence[bool], reference: Sequence[float]
) -> FloatArray:
    """The hypervolume after the first, the second … row: `(n,)`, never falling."""
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
    """The volume of the union of boxes from the origin to every row."""
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
