"""Selection of one plan among measured ones: the knee, the cheapest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.filters import METRICS, Filters, Range, _shown
from gdws_explorer.study.pareto import front_records
from gdws_explorer.study.records import Record


def knee(records: Sequence[Record], accuracy: str = "robust", cost: str = "macs") -> Record:
    """The plan of the front after which more cost buys the least.

    Where cost and accuracy are both made to run from 0 to 1 along the front, the point with most
    accuracy above its cost (Satopää et al., "Finding a kneedle in a haystack", 2011). Raises
    ExplorerError where the front is empty.
    """
    line = front_records(records, accuracy, cost)
    table = np.array([(getattr(r, cost), r.accuracy(accuracy)) for r in line], dtype=np.float64)
    span = np.ptp(table, axis=0)
    place = (table - table.min(axis=0)) / np.where(span > 0, span, 1.0)
    return line[int(np.argmax(place[:, 1] - place[:, 0]))]


def cheapest(
    records: Sequence[Record], filters: Filters, accuracy: str = "robust", cost: str = "macs"
) -> Record:
    """The cheapest plan that holds to the filters, of equal ones the most accurate.

    Raises ExplorerError where none does; it says how far the records reach.
    """
    kept = filters.kept(records)
    if kept:
        return min(kept, key=lambda r: (getattr(r, cost), -(r.accuracy(accuracy) or 0.0)))
    if not records:
        raise ExplorerError("nothing is measured in this setting; evaluate a plan first.")
    reach = [f"{one.metric} reaches {_best(records, one)}" for one in filters.bounds]
    told = f" ({', '.join(reach)})" if reach else ""
    raise ExplorerError(
        f"no measured plan has {filters}{told}; ask for less, or measure more plans."
    )


def _best(records: Sequence[Record], asked: Range) -> str:
    values = [v for r in records if (v := METRICS[asked.metric].value(r)) is not None]
    if not values:
        return "nothing: it was not measured"
    return _shown(asked.metric, min(values) if math.isinf(asked.low) else max(values))
