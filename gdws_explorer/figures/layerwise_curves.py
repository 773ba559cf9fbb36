"""One layer compressed at a time: accuracy and error against its budget, and error against loss.

With six layers as with forty, all are grey lines, the most sensitive ones carry their names, and
one is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from gdws_explorer.figures import theme
from gdws_explorer.figures.pareto_front import STYLE, describe
from gdws_explorer.robust.sequence import any_attack_from_dict as attack_from_dict
from gdws_explorer.study.layerwise import LayerCurve, LayerStep
from gdws_explorer.study.records import Record

NAMED = 3  # of the most sensitive layers
LONGEST = 16  # letters of a name in the picture
LETTER = 2.1  # of the axis of shares, in its units
FLOOR = 1e-6  # of an error on a logarithmic axis
AXES = {"relative": "relative error", "squared": "squared error"}
METRICS = ("clean", "robust")


class LayerLine(NamedTuple):
    """One layer, `(k,)` lists from the largest budget down; NaN where nothing is measured.

    share : MACs kept of its own, %. error : analytic. accuracy, low, high : by metric, % with the
    95 % Wilson interval. loss, loss_low, loss_high : by metric, points against the dense network,
    with the paired 95 % interval. text : each step in words.
    """

    name: str
    share: list[float]
    error: list[float]
    accuracy: dict[str, list[float]]
    low: dict[str, list[float]]
    high: dict[str, list[float]]
    loss: dict[str, list[float]]
    loss_low: dict[str, list[float]]
    loss_high: dict[str, list[float]]
    text: list[str]


class LayerwiseInfo(NamedTuple):
    """All layers' lines.

    kind, of : which analytic error, of the "kernel" or of the "output". dense : accuracy by
    metric, %, or NaN; dense_text : its record in words.
    """

    kind: str
    of: str
    lines: list[LayerLine]
    dense: dict[str, float]
    dense_text: str

    @property
    def axis(self) -> str:
        """What the error is called, in full."""
        return f"{AXES[self.kind]} of the {self.of}"

    def worst(self, metric: str) -> list[LayerLine]:
        """The layers that lose accuracy beyond chance at some budget, the worst first."""
        losing = [line for line in self.lines if any(low > 0 for low in line.loss_low[metric])]
        return sorted(losing, key=lambda line: -np.nanmax(line.loss[metric]))


def info(curves: Sequence[LayerCurve], kind: str = "relative", of: str = "kernel") -> LayerwiseInfo:
    """The arrays of both pictures. of : what errors are of; a calibrated network's "output"."""
    dense = next((curve.dense for curve in curves), None)
    known = {m: None if dense is None else dense.accuracy(m) for m in METRICS}
    levels = {m: np.nan if value is None else 100 * value for m, value in known.items()}
    text = "all layers dense" if dense is None else describe(dense)
    return LayerwiseInfo(kind, of, [_line(curve, kind) for curve in curves], levels, text)


def _line(curve: LayerCurve, kind: str) -> LayerLine:
    def per_cent(values: Any) -> list[float]:
        return [100 * float(value) for value in values]

    intervals = {m: curve.interval(m) for m in METRICS}
    lost = {m: curve.loss_interval(m) for m in METRICS}
    steps = zip(curve.steps, curve.records, range(len(curve.steps)), strict=True)
    return LayerLine(
        name=curve.name,
        share=per_cent(curve.share),
        error=[float(value) for value in curve.analytic(kind)],
        accuracy={m: per_cent(curve.accuracy(m)) for m in METRICS},
        low={m: per_cent(intervals[m][:, 0]) for m in METRICS},
        high={m: per_cent(intervals[m][:, 1]) for m in METRICS},
        loss={m: per_cent(curve.loss(m)) for m in METRICS},
        loss_low={m: per_cent(lost[m][:, 0]) for m in METRICS},
        loss_high={m: per_cent(lost[m][:, 1]) for m in METRICS},
        text=[_describe(curve, step, record, i) for step, record, i in steps],
    )


def _describe(curve: LayerCurve, step: LayerStep, record: Record | None, place: int) -> str:
    """One step in words, for hovers."""
    lines = [
        f"<b>{step.layer}</b> alone: {step.choice}, {step.share:.0%} of its MACs",
        f"relative error {step.relative:.3g} · squared error {step.squared:.3g}",
    ]
    if record is None:
        return "<br>".join([*lines, "not measured yet"])
    for metric in METRICS:
        accuracy, interval = record.accuracy(metric), getattr(record, f"{metric}_interval")
        if accuracy is None:
            continue
        low, high = interval
        lines.append(f"{metric} {accuracy:.1%} (95 %: {low:.1%} to {high:.1%})")
        pair = curve.paired[metric][place]
        if pair is not None:
            least, most = sorted(-100 * end for end in pair.interval)
            lines.append(
                f"   lost {-100 * pair.difference:.1f} points ({least:.1f} to {most:.1f}, in "
                f"pairs), p {pair.p:.1g}"
            )
    attack = "not attacked" if record.attack is None else attack_from_dict(record.attack).label
    return "<br>".join([*lines, f"{attack} · n {record.n} · seed {record.seed}"])


# -- accuracy and error against the budget ------------------------------------------------------


def figure(
    data: LayerwiseInfo, chosen: str | None = None, metric: str = "robust", height: int = 470
) -> go.Figure:
    """Accuracy of every layer's steps, and below it their error, over the same budgets.

    chosen : the layer in colour, with intervals and both accuracies. metric : of the grey ones.
    """
    drawn = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.05, row_heights=[3, 2])
    for trace in traces(data, chosen, metric):
        drawn.add_trace(trace)
    drawn.update_layout(base(height))
    return drawn.update_layout(layout(data, chosen, metric))


def traces(data: LayerwiseInfo, chosen: str | None, metric: str) -> list[go.Scatter]:
    """The other layers' accuracies, the chosen one's, clean and robust; the same of errors."""
    others = [line for line in data.lines if line.name != chosen]
    mine = [line for line in data.lines if line.name == chosen]
    grey = {
        "mode": "lines+markers", "line": {"color": theme.FAINT, "width": 1.5},
        "marker": {"size": 4, "color": theme.GREY}, "name": "other layers",
    }  # fmt: skip
    vermilion = {
        "mode": "lines+markers", "line": {"color": theme.VERMILION, "width": 2.5},
        "marker": {"size": 8, "symbol": "square"}, "name": f"{short(chosen)}: error",
    }  # fmt: skip
    start = None if np.isnan(data.dense[metric]) else data.dense[metric]
    below = _error_start(data)
    return [
        go.Scatter(**_points(data, others, [x.accuracy[metric] for x in others], start), **grey),
        *(_accuracies(data, mine, one, short(chosen)) for one in METRICS),
        go.Scatter(
            **_points(data, others, [drawn_errors(data, x) for x in others], below),
            **grey, showlegend=False, xaxis="x2", yaxis="y2",
        ),
        go.Scatter(
            **_points(data, mine, [drawn_errors(data, x) for x in mine], below),
            **vermilion, xaxis="x2", yaxis="y2",
        ),
    ]  # fmt: skip


def _accuracies(data: LayerwiseInfo, mine: list[LayerLine], metric: str, name: str) -> go.Scatter:
    """The chosen layer's accuracy with intervals."""
    colour, symbol, dash = STYLE[metric]
    start = None if np.isnan(data.dense[metric]) else data.dense[metric]
    lead = [] if start is None else [(0.0, 0.0)]
    ends = [
        (high - y, y - low)
        for line in mine
        for low, y, high in zip(
            line.low[metric], line.accuracy[metric], line.high[metric], strict=True
        )
        if not np.isnan(y)
    ]
    up, down = zip(*lead, *ends, strict=True) if mine and (lead or ends) else ((), ())
    return go.Scatter(
        **_points(data, mine, [line.accuracy[metric] for line in mine], start),
        error_y=bars(up, down, colour),
        mode="lines+markers",
        name=f"{name}: {metric}",
        line={"color": colour, "dash": dash, "width": 2.5},
        marker={"symbol": symbol, "size": 9, "color": colour},
    )


def layout(data: LayerwiseInfo, chosen: str | None, metric: str) -> dict[str, Any]:
    """Axes, the dense network's accuracy as a line, and the worst layers' names."""
    lows = [y for line in data.lines for y in line.accuracy[metric]]
    lows += [y for line in data.lines if line.name == chosen for m in METRICS for y in line.low[m]]
    bottom = min([y for y in lows if not np.isnan(y)], default=0.0)
    letters = max((len(short(line.name)) for line in data.lines), default=0)
    across = {"range": [min(-3.0, 4 - LETTER * letters), 103], "tickvals": [0, 25, 50, 75, 100]}
    dense = data.dense[metric]
    empty = all(np.isnan(y) for y in lows)
    return {
        "xaxis": {**theme.axis("", **across), "showticklabels": False, "matches": "x2"},
        "xaxis2": theme.axis("MACs kept of the one compressed layer (%)", **across, anchor="y2"),
        "yaxis": theme.axis("accuracy (%)", range=[max(-2.0, bottom - 5), 102]),
        "yaxis2": theme.axis(AXES[data.kind], **scale(data)),
        "shapes": [] if np.isnan(dense) else [level(dense, "dense")],
        "annotations": [nothing_yet()] if empty else _names(data, metric, bottom),
    }


def _names(data: LayerwiseInfo, metric: str, bottom: float) -> list[dict[str, Any]]:
    """The worst layers' names at the left ends of their lines, none above another."""
    ends = []
    for line in data.worst(metric)[:NAMED]:
        last = max(i for i, y in enumerate(line.accuracy[metric]) if not np.isnan(y))
        ends.append((line.accuracy[metric][last], line.share[last], short(line.name)))
    apart = (102 - bottom) / 14  # a line of text
    found: list[dict[str, Any]] = []
    for y, x, name in sorted(ends, reverse=True):
        place = min(y, found[-1]["y"] - apart) if found else y
        found.append({
            "x": x, "y": place, "xref": "x", "yref": "y", "text": name, "showarrow": False,
            "xanchor": "right", "xshift": -8, "font": {"size": 10},
        })  # fmt: skip
    return found


# -- parts ----------------------------------------------------------------------------------------


def _points(
    data: LayerwiseInfo, lines: list[LayerLine], values: list[list[float]], start: float | None
) -> dict[str, Any]:
    """Several layers as one trace with gaps between them; each begins at the dense network.

    start : what the dense network has; None where that is not known or cannot be drawn.
    """
    first = [] if start is None else [(100.0, start, data.dense_text)]
    rows: list[tuple[float | None, float | None, str | None, str | None]] = []
    for line, own in zip(lines, values, strict=True):
        steps = zip(line.share, own, line.text, strict=True)
        known = first + [step for step in steps if not np.isnan(step[1])]
        rows += [(x, y, line.name, text) for x, y, text in known]
        rows.append((None, None, None, None))
    x, y, names, texts = zip(*rows[:-1], strict=True) if rows[:-1] else ((), (), (), ())
    return {
        "x": x, "y": y, "customdata": names, "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def base(height: int) -> go.Layout:
    """What both pictures share, so that they stand level beside each other."""
    return theme.layout(
        height, hovermode="closest", margin={"l": 60, "r": 16, "t": 54, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip


def gaps(values: Sequence[float]) -> list[float | None]:
    """NaN as what plotly leaves out."""
    return [None if np.isnan(value) else value for value in values]


def drawn_errors(data: LayerwiseInfo, line: LayerLine) -> list[float]:
    """Errors as the axis can show them: a logarithm has no zero."""
    return [max(e, FLOOR) for e in line.error] if data.kind == "squared" else line.error


def _error_start(data: LayerwiseInfo) -> float | None:
    return None if data.kind == "squared" else 0.0


def scale(data: LayerwiseInfo) -> dict[str, Any]:
    """A logarithm for squared errors, which differ from layer to layer by decades."""
    if data.kind != "squared":
        return {"type": "linear", "rangemode": "tozero", "tickmode": "auto"}
    errors = [e for line in data.lines for e in drawn_errors(data, line)] or [1.0]
    few = max(errors) < 300 * min(errors)  # then 1, 2 and 5 of each decade have room
    return {"type": "log", "tickmode": "linear", "dtick": "D2" if few else 1}


def bars(up: Sequence[float], down: Sequence[float], colour: str) -> dict[str, Any]:
    """Error bars."""
    return {
        "type": "data", "symmetric": False, "array": gaps(up), "arrayminus": gaps(down),
        "thickness": 1, "width": 0, "color": colour,
    }  # fmt: skip


def level(y: float, name: str = "") -> dict[str, Any]:
    """A dashed line across at a height, its name at the left end."""
    return {
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": theme.GREY, "width": 1, "dash": "dash"},
        "label": {"text": name, "textposition": "start", "font": {"size": 11}},
    }  # fmt: skip


def note(text: str) -> dict[str, Any]:
    """A line of text in the upper left."""
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": 0.02, "y": 0.99, "xanchor": "left",
        "yanchor": "top", "align": "left", "showarrow": False, "font": {"size": 12},
    }  # fmt: skip


def nothing_yet() -> dict[str, Any]:
    """What stands in a picture without points."""
    return {
        **note("nothing is measured yet"),
        "x": 0.5, "y": 0.75, "xanchor": "center", "yanchor": "middle",
    }  # fmt: skip


def short(name: str | None) -> str:
    """A long name's end, where it differs from others."""
    text = name or ""
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
