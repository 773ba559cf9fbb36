"""Measured plans in the plane of cost and accuracy, with intervals and the front through them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.robust.sequence import any_attack_from_dict as attack_from_dict
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
    """One accuracy over one cost.

    metric, cost : what is drawn. x : cost `(n,)`. y, low, high : per cent, with the 95 % Wilson
    interval. on_front : indices of the non-dominated records, by rising cost. text : each plan
    in words. records : the record behind every point. out : indices of the records that are
    greyed out; they take no part in the front.
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
    out: Sequence[int] = ()


def words(records: Sequence[Record], dense: Record | None = None) -> list[str]:
    """Every record in words, as `describe` gives them. dense : to compare them with."""
    # Records of one setting share its words: they are made once, not ten thousand times.
    examples = {(str(r.attack), r.n, r.seed): r for r in records}
    said = {key: _attack(r) for key, r in examples.items()}
    return [describe(r, said[str(r.attack), r.n, r.seed], dense) for r in records]


def info(
    records: Sequence[Record],
    metric: str = "robust",
    cost: str = "macs",
    said: Sequence[str] | None = None,
    broken: Callable[[Record], object | None] = lambda record: None,
) -> FrontInfo:
    """The points of one accuracy; records without it are left out.

    said : `words(records)`, where the caller has them. broken : what a record does not hold to,
    in words; None where it stands out.
    """
    known = words(records) if said is None else said
    kept = [r for r in records if r.accuracy(metric) is not None]
    text = [t for r, t in zip(records, known, strict=True) if r.accuracy(metric) is not None]
    why = {i: reason for i, r in enumerate(kept) if (reason := broken(r)) is not None}
    able = [i for i in range(len(kept)) if i not in why]
    x = [float(getattr(r, cost)) for r in kept]
    y = [100 * float(r.accuracy(metric) or 0.0) for r in kept]
    intervals = [r.clean_interval if metric == "clean" else r.robust_interval for r in kept]
    low = [100 * i[0] if i else 0.0 for i in intervals]
    high = [100 * i[1] if i else 0.0 for i in intervals]
    best = [able[i] for i in front_indices([kept[i] for i in able], metric, cost)]
    for i, reason in why.items():
        text[i] += f"<br>greyed out: not {reason}"
    return FrontInfo(metric, cost, x, y, low, high, best, text, kept, tuple(why))


def figure(infos: Sequence[FrontInfo], *, dominated: bool = True, height: int = 360) -> go.Figure:
    """The fronts of one or two accuracies over one cost."""
    cost = infos[0].cost if infos else "macs"
    shown = " and ".join(i.metric for i in infos)
    fig = go.Figure(
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
            fig.add_trace(trace)
    for data in infos:
        fig.add_trace(greyed(data))
    return fig


def traces(data: FrontInfo, *, dominated: bool = True) -> list[go.Scatter]:
    """Two traces for one accuracy: the dominated records, and the front."""
    colour, symbol, dash = STYLE[data.metric]
    aside = {*data.on_front, *data.out}
    rest = [i for i in range(len(data.x)) if i not in aside] if dominated else []
    beside = points(data, rest)
    along = points(data, data.on_front)
    return [
        go.Scatter(
            **beside,
            mode="markers",
            name=f"{data.metric}, dominated",
            showlegend=False,
            opacity=0.7,
            marker={"symbol": f"{symbol}-open", "size": 7, "color": colour},
        ),
        go.Scatter(
            **along,
            mode="lines+markers",
            name=f"{data.metric} accuracy",
            line={"color": colour, "dash": dash, "width": 1.5},
            marker={"symbol": symbol, "size": 9, "color": colour},
        ),
    ]


def greyed(data: FrontInfo) -> go.Scatter:
    """The records that do not hold to what is asked for: small grey crosses without intervals."""
    given = {**points(data, data.out), "error_y": {"type": "data", "array": [], "visible": False}}
    return go.Scatter(
        **given,
        mode="markers",
        name=f"{data.metric}, greyed out",
        showlegend=False,
        opacity=0.45,
        marker={"symbol": GREYED[data.metric], "size": 6, "color": theme.GREY},
    )


GREYED = {"robust": "x-thin-open", "clean": "cross-thin-open"}
STYLE = {
    "robust": (theme.BLUE, "circle", "solid"),
    "clean": (theme.GREEN, "diamond", "dot"),
}


def prediction_mark(cost: float, percent: float, *, outwards: str = "right") -> dict[str, Any]:
    """Where a plan that is not measured yet should land: a ring, labelled as predicted.

    A shape like the cursor: a trace would draw all records again at every move.
    outwards : on which side of the ring its label stands.
    """
    return {
        "type": "circle", "x0": -7, "x1": 7, "y0": -7, "y1": 7,
        "line": {"color": theme.PURPLE, "width": 2.5},
        **_placed(cost, percent), "label": _beside(f"predicted {percent:.0f} %", outwards),
    }  # fmt: skip


def upper_bound_mark(cost: float, percent: float, *, outwards: str = "right") -> dict[str, Any]:
    """The transfer estimate, an upper bound: a triangle that points down, dashed and labelled."""
    return {
        "type": "path", "path": "M -8 6 L 8 6 L 0 -8 Z",
        "line": {"color": theme.VERMILION, "width": 2, "dash": "dot"},
        **_placed(cost, percent), "label": _beside(f"at most {percent:.0f} % (transfer)", outwards),
    }  # fmt: skip


def _placed(cost: float, percent: float) -> dict[str, Any]:
    """A shape of fixed size in pixels at a point of the plane."""
    return {"xsizemode": "pixel", "ysizemode": "pixel", "xanchor": cost, "yanchor": percent}


def _beside(text: str, outwards: str) -> dict[str, Any]:
    """A label on one side of a shape."""
    other = "left" if outwards == "right" else "right"
    room = "\u2002"  # beside the shape; plotly's own padding goes the other way
    return {
        "text": room + text if outwards == "right" else text + room,
        "textposition": f"middle {outwards}", "xanchor": other, "yanchor": "top",
        "padding": 0, "font": {"size": 11},
    }  # fmt: skip


def estimate_mark(cost: float, percent: float) -> dict[str, Any]:
    """The clean accuracy that was measured beside the estimate: a diamond, as the clean front's."""
    return {
        "type": "path", "path": "M 0 7 L 7 0 L 0 -7 L -7 0 Z",
        "line": {"color": theme.GREEN, "width": 2}, **_placed(cost, percent),
    }  # fmt: skip


def cursor(cost: float) -> dict[str, Any]:
    """A line at the cost of the plan on the faders; as a shape it moves in a millisecond."""
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": cost, "x1": cost, "y0": 0, "y1": 1,
        "line": {"color": theme.PURPLE, "width": 1.5, "dash": "dash"},
    }  # fmt: skip


def ranges(infos: Sequence[FrontInfo], dense: float) -> dict[str, Any]:
    """Axes that stay put while the plan moves: from 0 to the dense network, and all intervals."""
    right = max([dense, *(x for i in infos for x in i.x)], default=1.0)
    low = min([y for i in infos for y in i.low], default=0.0)
    return {
        "xaxis": {"range": [0, 1.04 * right]},
        "yaxis": {"range": [max(-2.0, low - 4), 102]},
    }


def points(data: FrontInfo, which: Sequence[int]) -> dict[str, Any]:
    """What a trace needs of some of the records; `customdata` is the record's place."""
    colour = STYLE[data.metric][0]
    return {
        "x": [data.x[i] for i in which],
        "y": [data.y[i] for i in which],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [data.high[i] - data.y[i] for i in which],
            "arrayminus": [data.y[i] - data.low[i] for i in which],
            "thickness": 1,
            "width": 0,
            "color": colour,
        },
        "customdata": list(which),
        "text": [data.text[i] for i in which],
        "hovertemplate": "%{text}<extra></extra>",
    }


def describe(record: Record, attack: str | None = None, dense: Record | None = None) -> str:
    """A record in words, for hovers: plan, costs, accuracies with n, interval and attack.

    attack : its attack, n and seed in words, where the caller knows them. dense : what was measured
    of the dense network on the same images, to compare with.
    """
    low, high = record.clean_interval
    lines = [
        f"<b>{_wrapped(str(record.plan))}</b>",
        f"{millions(record.macs)} MACs · {millions(record.params)} parameters"
        f" · relative error {record.relative_error:.3g}",
        f"clean {record.clean:.1%} (95 %: {low:.1%} to {high:.1%})" + _than(dense, record, "clean"),
    ]
    if record.robust is not None and record.robust_interval and record.attack:
        low, high = record.robust_interval
        text = f"robust {record.robust:.1%} (95 %: {low:.1%} to {high:.1%})"
        lines.append(text + _than(dense, record, "robust"))
        lines.append(attack or _attack(record))
    else:
        lines.append(f"n {record.n} · seed {record.seed}, not attacked")
    return "<br>".join(lines)


def _than(dense: Record | None, record: Record, metric: str) -> str:
    """The paired difference to the dense network, with its interval."""
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


def _attack(record: Record) -> str:
    """The attack with all its settings, n and seed; nothing where nothing attacked."""
    if record.attack is None:
        return ""
    attack = attack_from_dict(record.attack)
    text = f"{attack.label} · n {record.n} · seed {record.seed}"
    return "<br>".join([*textwrap.wrap(text, 70), *textwrap.wrap(attack.details, 70)])


def _wrapped(plan: str, width: int = 60, most: int = 6) -> str:
    """A plan in lines of at most `width`, broken where a layer ends: textwrap takes ten times."""
    lines = [""]
    for part in plan.split(", "):
        if len(lines[-1]) + len(part) < width:
            lines[-1] += f"{part}, "
        elif len(lines) == most:
            return "<br>".join(lines) + "…"
        else:
            lines.append(f"{part}, ")
    return "<br>".join(lines).removesuffix(", ")
