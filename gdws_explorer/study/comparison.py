"""Plans put side by side: only what differs, with paired differences where they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.records import Record

LETTERS = ("A", "B", "C", "D")
METRICS = ("clean", "robust")


@dataclass(frozen=True)
class ComparedPlan:
    """A plan with its costs, and what was measured of it in the present setting, if anything."""

    plan: Plan
    summary: Summary
    record: Record | None = None


class TableRow(NamedTuple):
    """One line of the table. cells : one text per pin, in their order."""

    label: str
    cells: tuple[str, ...]


def comparison_table(pins: Mapping[str, ComparedPlan]) -> list[TableRow]:
    """What differs between the pinned plans, costs and accuracies first, then layer by layer."""
    all_of = list(pins.values())
    lines = [
        TableRow("MACs", tuple(_cost(p.summary.macs, p.summary.dense_macs) for p in all_of)),
        TableRow(
            "parameters", tuple(_cost(p.summary.params, p.summary.dense_params) for p in all_of)
        ),
        TableRow("bytes", tuple(_cost(p.summary.bytes, p.summary.dense_bytes) for p in all_of)),
        TableRow("relative error", tuple(f"{p.summary.relative_error:.3g}" for p in all_of)),
    ]
    for metric in METRICS:
        lines.append(TableRow(f"{metric} accuracy", tuple(_accuracy(p, metric) for p in all_of)))
        if sum(p.record is not None for p in all_of) > 1:
            first = next(iter(pins))
            cells = ("", *(paired(all_of[0].record, p.record, metric) for p in all_of[1:]))
            lines.append(TableRow(f"{metric}, against {first} on the same images", cells))
    if all_of:
        for name, _ in all_of[0].plan:
            lines.append(TableRow(name, tuple(str(p.plan[name]) for p in all_of)))
    alone = len(pins) < 2
    return [line for line in lines if any(line.cells) and (alone or len(set(line.cells)) > 1)]


def paired(first: Record | None, second: Record | None, metric: str) -> str:
    """The difference of the second in points, with its 95 % interval and McNemar's p, in words."""
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
    return f"{share:.1%} ({interval[0]:.1%} to {interval[1]:.1%}), n {record.n}"


def _cost(value: float, dense: float) -> str:
    return f"{value:,} ({value / dense:.0%})"
