"""Selection of one plan among measured ones: the knee, the cheapest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.filters import METRICS, Filters, Range, value_text
from gdws_explorer.study.pareto import front_records
from gdws_explorer.study.records import Record


def knee(records: Sequence[Record], accuracy: str = "robust", cost: str = "macs") -> Record:
    """Returns the knee of the front: after it, more cost buys the least accuracy.

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
    """Returns the cheapest record that passes the filters, of equal ones the most accurate.

    Raises ExplorerError where none passes; the message says how far the records reach.
    """
    kept = filters.kept(records)
    if kept:
        return min(kept, key=lambda r: (getattr(r, cost), -(r.accuracy(accuracy) or 0.0)))
    if not records:
        raise ExplorerError("nothing is measured in this setting; evaluate a plan first.")
    reach = [f"{bound.metric} reaches {_best(records, bound)}" for bound in filters.bounds]
    limits = f" ({', '.join(reach)})" if reach else ""
    raise ExplorerError(
        f"no measured plan has {filters}{limits}; relax the bounds, or measure more plans."
    )


def _best(records: Sequence[Record], bound: Range) -> str:
    values = [v for r in records if (v := METRICS[bound.metric].value(r)) is not None]
    if not values:
        return "nothing: it was not measured"
    return value_text(bound.metric, min(values) if math.isinf(bound.low) else max(values))
