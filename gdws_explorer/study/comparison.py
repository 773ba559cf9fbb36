"""Comparison of plans: a table of their differences, paired where both were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.records import Record
from gdws_explorer.utils.format import with_interval

LETTERS = ("A", "B", "C", "D")
METRICS = ("clean", "robust")


@dataclass(frozen=True)
class ComparedPlan:
    """A plan with its costs, and its record in the present setting, if there is one."""

    plan: Plan
    summary: Summary
    record: Record | None = None


class TableRow(NamedTuple):
    """One row of the table. cells : one text per pin, in their order."""

    label: str
    cells: tuple[str, ...]


def comparison_table(pins: Mapping[str, ComparedPlan]) -> list[TableRow]:
    """Returns the rows in which the pinned plans differ: costs, accuracies, then the layers."""
    plans = list(pins.values())
    rows = [
        TableRow("MACs", tuple(_cost(p.summary.macs, p.summary.dense_macs) for p in plans)),
        TableRow(
            "parameters", tuple(_cost(p.summary.params, p.summary.dense_params) for p in plans)
        ),
        TableRow("bytes", tuple(_cost(p.summary.bytes, p.summary.dense_bytes) for p in plans)),
        TableRow("relative error", tuple(f"{p.summary.relative_error:.3g}" for p in plans)),
    ]
    for metric in METRICS:
        rows.append(TableRow(f"{metric} accuracy", tuple(_accuracy(p, metric) for p in plans)))
        if sum(p.record is not None for p in plans) > 1:
            first = next(iter(pins))
            cells = ("", *(paired(plans[0].record, p.record, metric) for p in plans[1:]))
            rows.append(TableRow(f"{metric}, against {first} on the same images", cells))
    if plans:
        for name, _ in plans[0].plan:
            rows.append(TableRow(name, tuple(str(p.plan[name]) for p in plans)))
    alone = len(pins) < 2
    return [row for row in rows if any(row.cells) and (alone or len(set(row.cells)) > 1)]


def paired(first: Record | None, second: Record | None, metric: str) -> str:
    """Returns the second's difference in points, with 95 % interval and McNemar's p, as text."""
    if first is None or second is None:
        return "not measured"
    if first.accuracy(metric) is None or second.accuracy(metric) is None:
        return ""
    found = second.paired(first, metric)
    if found is None:
        return "measured before verdicts were kept: evaluate both again"
    low, high = found.interval
    sure = "" if low > 0 or high < 0 else ", may be chance"
    return (
        f"{100 * found.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
        f"p {found.p:.2g}{sure}"
    )


def _accuracy(pinned: ComparedPlan, metric: str) -> str:
    record = pinned.record
    if record is None:
        return "not measured"
    share = record.accuracy(metric)
    interval = record.clean_interval if metric == "clean" else record.robust_interval
    if share is None or interval is None:
        return ""
    return f"{with_interval(share, interval)}, n {record.n}"


def _cost(value: float, dense: float) -> str:
    return f"{value:,} ({value / dense:.0%})"
