"""Output of the commands: progress bars, tables, JSON objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gdws_explorer.utils.format import clock, some_of

if TYPE_CHECKING:
    from gdws_explorer.network.latency.latency import LatencyTable
    from gdws_explorer.network.plans.cost import Summary
    from gdws_explorer.network.plans.plan import Plan
    from gdws_explorer.robust.report import Report
    from gdws_explorer.study.records import EvaluationSetting, Record
    from gdws_explorer.study.runner import StudyProgress

LABEL = "{:<24}{:7.1%}   {}"  # a row: its name, a fraction, details


# -- progress bars on stderr ---------------------------------------------------------------


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float, str], None]]:
    """Shows a bar; the function that it yields takes the finished fraction and a short text."""
    from tqdm import tqdm

    shape = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"
    with tqdm(
        total=1.0, desc=label, bar_format=shape, mininterval=_interval(), file=sys.stderr
    ) as bar:

        def update(fraction: float, text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(max(0.0, fraction - bar.n))

        yield update


@contextmanager
def study_bar(label: str) -> Iterator[Callable[[StudyProgress], None]]:
    """Shows a bar of measured plans; a search with screening has one for every stage."""
    from tqdm import tqdm

    shape = "{desc}: {n_fmt}/{total_fmt} plans |{bar}| {elapsed}{postfix}"
    bar: Any = None
    stage: tuple[int, int | None] = (0, -1)  # plans done and in total, at the last update

    def update(progress: StudyProgress) -> None:
        nonlocal bar, stage
        if progress.done < stage[0] or progress.total != stage[1]:
            if bar is not None:
                bar.close()
            bar = tqdm(
                total=progress.total,
                desc=label,
                bar_format=shape,
                mininterval=_interval(),
                file=sys.stderr,
            )
        stage = progress.done, progress.total
        details = [f"{progress.known} known"] if progress.known else []
        if progress.seconds_left is not None:
            details.append(f"{clock(progress.seconds_left)} left")
        bar.set_postfix_str(", ".join(details), refresh=False)
        bar.update(progress.done - bar.n)

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()


def _interval() -> float:
    """Seconds between updates: in a log file, a line every ten seconds is enough."""
    return 0.1 if sys.stderr.isatty() else 10.0


# -- one evaluation ------------------------------------------------------------------------


def evaluation_json(model: str, plan: Plan, summary: Summary, report: Report) -> dict[str, Any]:
    """Returns an evaluation as a JSON object, without the verdict on every single image."""
    measured = report.to_dict()
    del measured["clean_mask"], measured["robust_mask"]
    costs = ("macs", "params", "bytes", "error", "relative_error")
    dense = ("dense_macs", "dense_params", "dense_bytes")
    return {
        "model": model,
        "fingerprint": plan.fingerprint,
        "plan": {"hash": plan.hash, "words": str(plan)},
        "attack_label": None if report.attack is None else report.attack.label,
        **measured,
        **{name: getattr(summary, name) for name in (*costs, *dense)},
    }


def evaluation_text(model: str, plan: Plan, summary: Summary, report: Report) -> str:
    """Returns an evaluation as a table: accuracies with their intervals, then the costs."""
    from gdws_explorer.robust.interval import wilson
    from gdws_explorer.robust.sequence import AttackSequence

    through = {"dense": "the rebuilt dense kernels", "layers": "the factorised layers"}
    lines = [
        f"{model}: {plan}",
        f"{report.n} images, seed {report.seed}, through {through[report.through]}, "
        f"{report.seconds:.1f} s",
        _accuracy("clean accuracy", report.clean, report.clean_interval),
    ]
    if isinstance(report.attack, AttackSequence):
        for stage, correct in zip(report.attack.stages, report.stages, strict=True):
            lines.append(_accuracy(stage.label, correct / report.n, wilson(correct, report.n)))
    elif report.attack is not None:
        lines.append(_accuracy(report.attack.label, report.robust, report.robust_interval))
    if report.note is not None:
        lines.append(f"note: {report.note}")
    return "\n".join([*lines, costs_text(summary)])


def costs_text(summary: Summary) -> str:
    """Returns MACs and parameters, also as fractions of the dense network's."""
    rows = [
        ("MACs, one image", summary.macs, summary.dense_macs),
        ("parameters", summary.params, summary.dense_params),
    ]
    without = [f"not in the MACs: {some_of(summary.uncounted)}"] if summary.uncounted else []
    lines = [
        LABEL.format(name, now / dense, f"{now:,} of {dense:,} dense") for name, now, dense in rows
    ]
    return "\n".join([*lines, *without])


def latency_text(model: str, table: LatencyTable) -> str:
    """Returns measured milliseconds as a table, a row for every layer.

    For every family it says up to which rank the layer is faster than dense.
    """
    lines = [f"{model}: {table.label}", f"{'layer':<28}{'ms':>9}   faster than dense"]
    for name, layer in table.layers.items():
        ranges = [_faster(table, name, family) for family in layer.families]
        faster = ", ".join(filter(None, ranges)) or "never"
        lines.append(f"{name:<28}{layer.dense:>9.4f}   {faster}")
    return "\n".join(lines)


def _faster(table: LatencyTable, name: str, family: str) -> str | None:
    curve, dense = table.layers[name].families[family], table.layers[name].dense
    if len(curve.ranks) > 1:
        return f"{family} at some ranks" if min(curve.ms) < dense else None
    slow = table.slower_from(name, family)
    if slow == 1:
        return None
    return f"{family} below {slow}" if slow else f"{family} up to {curve.ranks[0][-1]}"


def _accuracy(name: str, fraction: float | None, interval: tuple[float, float] | None) -> str:
    assert fraction is not None
    assert interval is not None
    low, high = interval
    return LABEL.format(name, fraction, f"95 % interval {low:.1%} to {high:.1%}")


# -- many records --------------------------------------------------------------------------


def setting_text(setting: EvaluationSetting) -> str:
    """Returns a setting in one line: network, attack, images, seed."""
    return f"network {setting.fingerprint[:8]} · {setting.label}"


def records_text(setting: EvaluationSetting, records: Sequence[Record], total: int) -> str:
    """Returns records as a table by rising MACs, with 95 % intervals.

    total : how many records the setting has.
    """
    attacked = setting.attack is not None
    head = f"{'MACs':>14}{'parameters':>12}{'clean':>8}"
    lines = [
        f"{setting_text(setting)}: {len(records)} of {total} records",
        head + (f"{'robust':>8}   95 %           " if attacked else "   ") + "plan",
    ]
    for record in sorted(records, key=lambda record: record.macs):
        line = f"{record.macs:>14,}{record.params:>12,}{record.clean:>8.1%}"
        if record.robust is not None and record.robust_interval is not None:
            low, high = record.robust_interval
            line += f"{record.robust:>8.1%}   {f'{low:.1%} to {high:.1%}':<15}"
        lines.append(f"{line}   {record.plan}")
    return "\n".join(lines)


def records_json(
    storage: str, setting: EvaluationSetting, records: Sequence[Record], more: dict[str, Any]
) -> dict[str, Any]:
    """Returns records as a JSON object; more : further keys, such as the front's hashes."""
    return {
        "storage": storage,
        "setting": setting.to_dict(),
        **more,
        "records": [
            {"hash": record.plan.hash, "words": str(record.plan), **record.to_dict()}
            for record in records
        ],
    }
