"""The front as a line of records that one can walk along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gdws_explorer.errors import ExplorerError
from gdws_explorer.explore.pareto import front
from gdws_explorer.explore.records import Record


def on_front(records: Sequence[Record], metric: str, cost: str) -> list[int]:
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


def along(records: Sequence[Record], metric: str, cost: str) -> list[Record]:
    """The non-dominated records by rising cost; ExplorerError where there is none."""
    line = [records[i] for i in on_front(records, metric, cost)]
    if not line:
        raise ExplorerError("the front is empty; evaluate a plan first.")
    return line


def neighbour(records: Sequence[Record], here: float, step: int, metric: str, cost: str) -> Record:
    """The next record of the front after the cost `here`: step +1 dearer, -1 cheaper."""
    line = along(records, metric, cost)
    ahead = [r for r in line if (getattr(r, cost) - here) * step > 0]
    if not ahead:
        end = "most costly" if step > 0 else "cheapest"
        raise ExplorerError(f"this is the {end} end of the front.")
    return ahead[0] if step > 0 else ahead[-1]
