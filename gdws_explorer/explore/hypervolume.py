"""How much a set of points dominates: the measure by which fronts are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gdws_explorer.explore.pareto import FloatArray, front


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


def growth(
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
