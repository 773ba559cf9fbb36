"""The Pareto front: measured plans by cost and accuracy, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.robust.sequence import any_attack_from_dict
from gdws_explorer.robust.transfer import TransferEstimate
from gdws_explorer.study.pareto import front_indices
from gdws_explorer.study.records import Record
from gdws_explorer.utils.format import millions

COSTS = {
    "macs": "MACs per image",
    "params": "parameters",
    "bytes": "bytes",
    "relative_error": "relative error of the kernels",
}
ACCURACIES = ("robust", "clean")


class FrontInfo(NamedTuple):
    """The records by one accuracy and one cost.

    metric, cost : names of the accuracy and the cost. x : costs `(n,)`. y, low, high : accuracies
    in per cent with the 95 % Wilson interval, `(n,)` each. on_front : indices of the
    non-dominated records, by rising cost. text : hover texts. records : the record of every
    point. filtered_out : indices of the records that fail the filters; they are drawn in grey and
    are not part of the front.
    """

    metric: str
    cost: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    on_front: list[int]
    text: list[str]
    records: list[Record]
    filtered_out: Sequence[int] = ()


def hover_texts(records: Sequence[Record], dense: Record | None = None) -> list[str]:
    """Returns `describe(record)` of all records. dense : the record to compare them with."""
    # Records of one setting share its text, which is made once and not ten thousand times.
    examples = {(str(r.attack), r.n, r.seed): r for r in records}
    settings = {key: _setting_text(r) for key, r in examples.items()}
    return [describe(r, settings[str(r.attack), r.n, r.seed], dense) for r in records]


def info(
    records: Sequence[Record],
    metric: str = "robust",
    cost: str = "macs",
    texts: Sequence[str] | None = None,
    failed_filter: Callable[[Record], object | None] = lambda record: None,
) -> FrontInfo:
    """Returns the arrays of the front of one accuracy.

    Parameters
    ----------
    records : sequence of Record
        The measured plans. Records without this accuracy are left out.
    metric : str
        "robust" or "clean".
    cost : str
        A key of `COSTS`.
    texts : sequence of str, optional
        `hover_texts(records)`, if they are made already.
    failed_filter : callable, optional
        Returns the first filter that a record fails, or None if it passes all. A record that
        fails is drawn in grey.

    Returns
    -------
    FrontInfo
    """
    all_texts = hover_texts(records) if texts is None else texts
    kept = [r for r in records if r.accuracy(metric) is not None]
    text = [t for r, t in zip(records, all_texts, strict=True) if r.accuracy(metric) is not None]
    failed = {i: reason for i, r in enumerate(kept) if (reason := failed_filter(r)) is not None}
    passing = [i for i in range(len(kept)) if i not in failed]
    x = [float(getattr(r, cost)) for r in kept]
    y = [100 * float(r.accuracy(metric) or 0.0) for r in kept]
    intervals = [r.clean_interval if metric == "clean" else r.robust_interval for r in kept]
    low = [100 * i[0] if i else 0.0 for i in intervals]
    high = [100 * i[1] if i else 0.0 for i in intervals]
    best = [passing[i] for i in front_indices([kept[i] for i in passing], metric, cost)]
    for i, reason in failed.items():
        text[i] += f"<br>greyed out: not {reason}"
    return FrontInfo(metric, cost, x, y, low, high, best, text, kept, tuple(failed))


def figure(infos: Sequence[FrontInfo], *, dominated: bool = True, height: int = 360) -> go.Figure:
    """Returns the fronts of one or two accuracies by the same cost.

    infos : one per accuracy. dominated : False leaves out the dominated records. height : pixels.
    """
    cost = infos[0].cost if infos else "macs"
    shown = " and ".join(i.metric for i in infos)
    drawn = go.Figure(
        layout=theme.layout(
            height,
            xaxis=theme.axis(COSTS[cost], exponentformat="SI", rangemode="tozero"),
            yaxis=theme.axis(f"{shown} accuracy (%)"),
            legend={"orientation": "h", "y": 1.14, "x": 0},
            hovermode="closest",
        )
    )
    for data in infos:
        for trace in traces(data, dominated=dominated):
            drawn.add_trace(trace)
    for data in infos:
        drawn.add_trace(filtered_trace(data))
    return drawn


def traces(data: FrontInfo, *, dominated: bool = True) -> list[go.Scatter]:
    """Returns two traces of one accuracy: the dominated records, and the front."""
    colour, symbol, dash = STYLE[data.metric]
    excluded = {*data.on_front, *data.filtered_out}
    others = [i for i in range(len(data.x)) if i not in excluded] if dominated else []
    return [
        go.Scatter(
            **points(data, others),
            mode="markers",
            name=f"{data.metric}, dominated",
            showlegend=False,
            opacity=0.7,
            marker={"symbol": f"{symbol}-open", "size": 7, "color": colour},
        ),
        go.Scatter(
            **points(data, data.on_front),
            mode="lines+markers",
            name=f"{data.metric} accuracy",
            line={"color": colour, "dash": dash, "width": 1.5},
            marker={"symbol": symbol, "size": 9, "color": colour},
        ),
    ]


def filtered_trace(data: FrontInfo) -> go.Scatter:
    """Returns the records that fail the filters: small grey crosses without intervals."""
    arrays = {
        **points(data, data.filtered_out),
        "error_y": {"type": "data", "array": [], "visible": False},
    }
    return go.Scatter(
        **arrays,
        mode="markers",
        name=f"{data.metric}, greyed out",
        showlegend=False,
        opacity=0.45,
        marker={"symbol": FILTERED_SYMBOLS[data.metric], "size": 6, "color": theme.GREY},
    )


FILTERED_SYMBOLS = {"robust": "x-thin-open", "clean": "cross-thin-open"}
STYLE = {
    "robust": (theme.BLUE, "circle", "solid"),
    "clean": (theme.GREEN, "diamond", "dot"),
}


def prediction_mark(cost: float, percent: float, *, outwards: str = "right") -> dict[str, Any]:
    """Returns a ring at the predicted accuracy of a plan that is not measured yet, with a label.

    It is a shape, because a moved trace would draw all records again.
    cost : x. percent : the predicted accuracy. outwards : the side of the label, "left" or
    "right".
    """
    return {
        "type": "circle", "x0": -7, "x1": 7, "y0": -7, "y1": 7,
        "line": {"color": theme.PURPLE, "width": 2.5},
        **_anchor(cost, percent), "label": _side_label(f"predicted {percent:.0f} %", outwards),
    }  # fmt: skip


def upper_bound_mark(cost: float, percent: float, *, outwards: str = "right") -> dict[str, Any]:
    """Returns a dashed triangle that points down: the transfer estimate, an upper bound.

    cost, percent, outwards : as in `prediction_mark`.
    """
    return {
        "type": "path", "path": "M -8 6 L 8 6 L 0 -8 Z",
        "line": {"color": theme.VERMILION, "width": 2, "dash": "dot"},
        **_anchor(cost, percent),
        "label": _side_label(f"at most {percent:.0f} % (transfer)", outwards),
    }  # fmt: skip


def _anchor(cost: float, percent: float) -> dict[str, Any]:
    """Returns the position of a shape whose size is given in pixels."""
    return {"xsizemode": "pixel", "ysizemode": "pixel", "xanchor": cost, "yanchor": percent}


def _side_label(text: str, outwards: str) -> dict[str, Any]:
    """Returns a label on one side of a shape."""
    other = "left" if outwards == "right" else "right"
    room = "\u2002"  # keeps the label off the shape: plotly's padding moves it towards the shape
    return {
        "text": room + text if outwards == "right" else text + room,
        "textposition": f"middle {outwards}", "xanchor": other, "yanchor": "top",
        "padding": 0, "font": {"size": 11},
    }  # fmt: skip


def estimate_mark(cost: float, percent: float) -> dict[str, Any]:
    """Returns a diamond at the clean accuracy that was measured together with the estimate."""
    return {
        "type": "path", "path": "M 0 7 L 7 0 L 0 -7 L -7 0 Z",
        "line": {"color": theme.GREEN, "width": 2}, **_anchor(cost, percent),
    }  # fmt: skip


def cursor(cost: float) -> dict[str, Any]:
    """Returns a vertical line at the cost of the present plan; a shape moves in a millisecond."""
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": cost, "x1": cost, "y0": 0, "y1": 1,
        "line": {"color": theme.PURPLE, "width": 1.5, "dash": "dash"},
    }  # fmt: skip


def plan_shapes(
    cost: float,
    right: float,
    predicted: Mapping[str, float | None],
    estimate: TransferEstimate | None = None,
) -> list[dict[str, Any]]:
    """Returns the shapes of the present plan: a line at its cost, and marks while not measured.

    cost : of the plan. right : the end of the axis, where labels go to the left of their marks.
    predicted : accuracies as fractions by metric, or None where there is no prediction; empty for
    a measured plan. estimate : drawn instead of the predictions.
    """
    shapes = [cursor(cost)]
    side = "left" if cost > 0.7 * right else "right"
    for metric, value in predicted.items():
        if estimate is not None and metric == "robust":
            shapes.append(upper_bound_mark(cost, 100 * estimate.robust, outwards=side))
        elif estimate is not None:
            shapes.append(estimate_mark(cost, 100 * estimate.clean))
        elif value is not None:
            shapes.append(prediction_mark(cost, 100 * value, outwards=side))
    return shapes


def ranges(infos: Sequence[FrontInfo], dense: float) -> dict[str, Any]:
    """Returns the ranges of both axes, which do not change while the plan moves.

    infos : the accuracies that are drawn. dense : the dense network's cost. x goes from 0 to the
    largest cost, y includes all intervals.
    """
    right = max([dense, *(x for i in infos for x in i.x)], default=1.0)
    low = min([y for i in infos for y in i.low], default=0.0)
    return {
        "xaxis": {"range": [0, 1.04 * right]},
        "yaxis": {"range": [max(-2.0, low - 4), 102]},
    }


def points(data: FrontInfo, chosen: Sequence[int]) -> dict[str, Any]:
    """Returns a trace's arrays for some of the records; `customdata` holds their indices."""
    colour = STYLE[data.metric][0]
    return {
        "x": [data.x[i] for i in chosen],
        "y": [data.y[i] for i in chosen],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [data.high[i] - data.y[i] for i in chosen],
            "arrayminus": [data.y[i] - data.low[i] for i in chosen],
            "thickness": 1,
            "width": 0,
            "color": colour,
        },
        "customdata": list(chosen),
        "text": [data.text[i] for i in chosen],
        "hovertemplate": "%{text}<extra></extra>",
    }


def describe(record: Record, setting: str | None = None, dense: Record | None = None) -> str:
    """Returns a record's hover text: plan, costs, accuracies with interval, attack, n and seed.

    setting : the text of its attack, n and seed, if it is made already. dense : the record of the
    dense network on the same images, for the paired difference.
    """
    low, high = record.clean_interval
    lines = [
        f"<b>{_wrapped_plan(str(record.plan))}</b>",
        f"{millions(record.macs)} MACs · {millions(record.params)} parameters"
        f" · relative error {record.relative_error:.3g}",
        f"clean {record.clean:.1%} (95 %: {low:.1%} to {high:.1%})"
        + _difference_text(dense, record, "clean"),
    ]
    if record.robust is not None and record.robust_interval and record.attack:
        low, high = record.robust_interval
        text = f"robust {record.robust:.1%} (95 %: {low:.1%} to {high:.1%})"
        lines.append(text + _difference_text(dense, record, "robust"))
        lines.append(setting or _setting_text(record))
    else:
        lines.append(f"n {record.n} · seed {record.seed}, not attacked")
    return "<br>".join(lines)


def _difference_text(dense: Record | None, record: Record, metric: str) -> str:
    """Returns the paired difference to the dense network with its interval, or nothing."""
    if dense is None or dense.plan.hash == record.plan.hash:
        return ""
    found = record.paired(dense, metric)
    if found is None:
        return ""
    low, high = found.interval
    return (
        f"<br>    {100 * found.difference:+.1f} points against dense on the same images "
        f"({100 * low:+.1f} to {100 * high:+.1f})"
    )


def _setting_text(record: Record) -> str:
    """Returns the attack with all its parameters, n and seed; nothing without an attack."""
    if record.attack is None:
        return ""
    attack = any_attack_from_dict(record.attack)
    text = f"{attack.label} · n {record.n} · seed {record.seed}"
    return "<br>".join([*textwrap.wrap(text, 70), *textwrap.wrap(attack.details, 70)])


def _wrapped_plan(plan: str, width: int = 60, most: int = 6) -> str:
    """Breaks a plan's text into lines of at most `width` characters, between layers.

    `textwrap` takes ten times as long.
    """
    lines = [""]
    for part in plan.split(", "):
        if len(lines[-1]) + len(part) < width:
            lines[-1] += f"{part}, "
        elif len(lines) == most:
            return "<br>".join(lines) + "…"
        else:
            lines.append(f"{part}, ")
    return "<br>".join(lines).removesuffix(", ")
