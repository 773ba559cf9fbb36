"""Layer-wise sensitivity: accuracy and analytic error by the budget of one compressed layer.

All layers are grey lines, the most sensitive ones have labels, and the chosen one is coloured. So
the figure is readable for six layers and for forty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from gdws_explorer.figures import theme
from gdws_explorer.figures.pareto_front import STYLE, describe
from gdws_explorer.robust.sequence import any_attack_from_dict
from gdws_explorer.study.layerwise import LayerCurve, LayerStep
from gdws_explorer.study.records import Record

LABELLED = 3  # most sensitive layers with a label
LONGEST = 16  # characters of a layer's name in the figure
LETTER = 2.1  # width of a character in units of the axis of shares
FLOOR = 1e-6  # smallest error on a logarithmic axis
ERROR_NAMES = {"relative": "relative error", "squared": "squared error"}
METRICS = ("clean", "robust")


class LayerLine(NamedTuple):
    """One layer's values at its k budgets, from the largest down; NaN where not measured.

    name : of the layer. share : its MACs in per cent of its dense MACs. error : analytic error.
    accuracy, low, high : by metric, per cent with the 95 % Wilson interval.
    loss, loss_low, loss_high : by metric, percentage points below the dense network, with the
    paired 95 % interval. text : hover texts.
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
    """The lines of all layers.

    kind : "relative" or "squared" error. of : "kernel" or "output", on which the error is defined.
    lines : one per layer. dense : the dense network's accuracy by metric, per cent, or NaN.
    dense_text : its hover text.
    """

    kind: str
    of: str
    lines: list[LayerLine]
    dense: dict[str, float]
    dense_text: str

    @property
    def axis(self) -> str:
        """The name of the error, for axes."""
        return f"{ERROR_NAMES[self.kind]} of the {self.of}"

    def sensitive(self, metric: str) -> list[LayerLine]:
        """Returns the layers with a significant loss at some budget, the largest loss first.

        A loss is significant if its 95 % interval is above 0.
        """
        losing = [line for line in self.lines if any(low > 0 for low in line.loss_low[metric])]
        return sorted(losing, key=lambda line: -np.nanmax(line.loss[metric]))


def info(curves: Sequence[LayerCurve], kind: str = "relative", of: str = "kernel") -> LayerwiseInfo:
    """Returns the arrays of this figure and of `correlation_scatter`.

    Parameters
    ----------
    curves : sequence of LayerCurve
        One per layer, from `study.layerwise.curves`.
    kind : str
        "relative" or "squared" error.
    of : str
        "kernel", or "output" for a calibrated network.

    Returns
    -------
    LayerwiseInfo
    """
    dense = next((curve.dense for curve in curves), None)
    known = {m: None if dense is None else dense.accuracy(m) for m in METRICS}
    levels = {m: np.nan if value is None else 100 * value for m, value in known.items()}
    text = "all layers dense" if dense is None else describe(dense)
    return LayerwiseInfo(kind, of, [_line(curve, kind) for curve in curves], levels, text)


def _line(curve: LayerCurve, kind: str) -> LayerLine:
    def per_cent(values: Any) -> list[float]:
        return [100 * float(value) for value in values]

    intervals = {m: curve.interval(m) for m in METRICS}
    loss_intervals = {m: curve.loss_interval(m) for m in METRICS}
    steps = zip(curve.steps, curve.records, range(len(curve.steps)), strict=True)
    return LayerLine(
        name=curve.name,
        share=per_cent(curve.share),
        error=[float(value) for value in curve.analytic(kind)],
        accuracy={m: per_cent(curve.accuracy(m)) for m in METRICS},
        low={m: per_cent(intervals[m][:, 0]) for m in METRICS},
        high={m: per_cent(intervals[m][:, 1]) for m in METRICS},
        loss={m: per_cent(curve.loss(m)) for m in METRICS},
        loss_low={m: per_cent(loss_intervals[m][:, 0]) for m in METRICS},
        loss_high={m: per_cent(loss_intervals[m][:, 1]) for m in METRICS},
        text=[_describe(curve, step, record, i) for step, record, i in steps],
    )


def _describe(curve: LayerCurve, step: LayerStep, record: Record | None, index: int) -> str:
    """Returns the hover text of one step."""
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
        pair = curve.paired[metric][index]
        if pair is not None:
            least, most = sorted(-100 * end for end in pair.interval)
            lines.append(
                f"   lost {-100 * pair.difference:.1f} points ({least:.1f} to {most:.1f}, "
                f"paired), p {pair.p:.1g}"
            )
    attack = "not attacked" if record.attack is None else any_attack_from_dict(record.attack).label
    return "<br>".join([*lines, f"{attack} · n {record.n} · seed {record.seed}"])


# -- accuracy and error against the budget ------------------------------------------------------


def figure(
    data: LayerwiseInfo, chosen: str | None = None, metric: str = "robust", height: int = 470
) -> go.Figure:
    """Returns two subplots with a common x axis: accuracy above, analytic error below.

    chosen : name of the layer in colour, with both accuracies and intervals. metric : the accuracy
    of the grey lines. height : pixels.
    """
    drawn = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.05, row_heights=[3, 2])
    for trace in traces(data, chosen, metric):
        drawn.add_trace(trace)
    drawn.update_layout(base(height))
    return drawn.update_layout(layout(data, chosen, metric))


def traces(data: LayerwiseInfo, chosen: str | None, metric: str) -> list[go.Scatter]:
    """Returns five traces, always in this order.

    The other layers' accuracies, the chosen layer's clean and robust accuracy, the other layers'
    errors, the chosen layer's error.
    """
    others = [line for line in data.lines if line.name != chosen]
    own = [line for line in data.lines if line.name == chosen]
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
        *(_accuracies(data, own, name, short(chosen)) for name in METRICS),
        go.Scatter(
            **_points(data, others, [axis_errors(data, x) for x in others], below),
            **grey, showlegend=False, xaxis="x2", yaxis="y2",
        ),
        go.Scatter(
            **_points(data, own, [axis_errors(data, x) for x in own], below),
            **vermilion, xaxis="x2", yaxis="y2",
        ),
    ]  # fmt: skip


def _accuracies(data: LayerwiseInfo, own: list[LayerLine], metric: str, name: str) -> go.Scatter:
    """Returns the chosen layer's accuracy with intervals."""
    colour, symbol, dash = STYLE[metric]
    start = None if np.isnan(data.dense[metric]) else data.dense[metric]
    lead = [] if start is None else [(0.0, 0.0)]
    ends = [
        (high - y, y - low)
        for line in own
        for low, y, high in zip(
            line.low[metric], line.accuracy[metric], line.high[metric], strict=True
        )
        if not np.isnan(y)
    ]
    up, down = zip(*lead, *ends, strict=True) if own and (lead or ends) else ((), ())
    return go.Scatter(
        **_points(data, own, [line.accuracy[metric] for line in own], start),
        error_y=bars(up, down, colour),
        mode="lines+markers",
        name=f"{name}: {metric}",
        line={"color": colour, "dash": dash, "width": 2.5},
        marker={"symbol": symbol, "size": 9, "color": colour},
    )


def layout(data: LayerwiseInfo, chosen: str | None, metric: str) -> dict[str, Any]:
    """Returns axes, a line at the dense accuracy, and the labels of the most sensitive layers."""
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
        "yaxis2": theme.axis(ERROR_NAMES[data.kind], **scale(data)),
        "shapes": [] if np.isnan(dense) else [level(dense, "dense")],
        "annotations": [empty_note()] if empty else _labels(data, metric, bottom),
    }


def _labels(data: LayerwiseInfo, metric: str, bottom: float) -> list[dict[str, Any]]:
    """Returns the labels at the left ends of the most sensitive lines, without overlap."""
    ends = []
    for line in data.sensitive(metric)[:LABELLED]:
        last = max(i for i, y in enumerate(line.accuracy[metric]) if not np.isnan(y))
        ends.append((line.accuracy[metric][last], line.share[last], short(line.name)))
    distance = (102 - bottom) / 14  # height of a line of text
    found: list[dict[str, Any]] = []
    for y, x, name in sorted(ends, reverse=True):
        label_y = min(y, found[-1]["y"] - distance) if found else y
        found.append({
            "x": x, "y": label_y, "xref": "x", "yref": "y", "text": name, "showarrow": False,
            "xanchor": "right", "xshift": -8, "font": {"size": 10},
        })  # fmt: skip
    return found


# -- parts ----------------------------------------------------------------------------------------


def _points(
    data: LayerwiseInfo, lines: list[LayerLine], values: list[list[float]], start: float | None
) -> dict[str, Any]:
    """Returns several layers as one trace with gaps between them.

    values : y of every line. start : y of the dense network, where every line begins; None if it
    is not known or cannot be drawn.
    """
    first = [] if start is None else [(100.0, start, data.dense_text)]
    rows: list[tuple[float | None, float | None, str | None, str | None]] = []
    for line, heights in zip(lines, values, strict=True):
        steps = zip(line.share, heights, line.text, strict=True)
        known = first + [step for step in steps if not np.isnan(step[1])]
        rows += [(x, y, line.name, text) for x, y, text in known]
        rows.append((None, None, None, None))
    x, y, names, texts = zip(*rows[:-1], strict=True) if rows[:-1] else ((), (), (), ())
    return {
        "x": x, "y": y, "customdata": names, "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def base(height: int) -> go.Layout:
    """Returns the layout of both figures: equal margins, so that the plots are level."""
    return theme.layout(
        height, hovermode="closest", margin={"l": 60, "r": 16, "t": 54, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip


def gaps(values: Sequence[float]) -> list[float | None]:
    """Returns the values with None for NaN: plotly leaves out None."""
    return [None if np.isnan(value) else value for value in values]


def axis_errors(data: LayerwiseInfo, line: LayerLine) -> list[float]:
    """Returns a line's errors; on a logarithmic axis, at least `FLOOR`."""
    return [max(e, FLOOR) for e in line.error] if data.kind == "squared" else line.error


def _error_start(data: LayerwiseInfo) -> float | None:
    return None if data.kind == "squared" else 0.0


def scale(data: LayerwiseInfo) -> dict[str, Any]:
    """Returns the scale of the error axis: logarithmic for squared errors, else linear.

    Squared errors differ from layer to layer by decades.
    """
    if data.kind != "squared":
        return {"type": "linear", "rangemode": "tozero", "tickmode": "auto"}
    errors = [e for line in data.lines for e in axis_errors(data, line)] or [1.0]
    few = max(errors) < 300 * min(errors)  # decades: there is room for ticks at 1, 2 and 5 of each
    return {"type": "log", "tickmode": "linear", "dtick": "D2" if few else 1}


def bars(up: Sequence[float], down: Sequence[float], colour: str) -> dict[str, Any]:
    """Returns error bars of the given lengths."""
    return {
        "type": "data", "symmetric": False, "array": gaps(up), "arrayminus": gaps(down),
        "thickness": 1, "width": 0, "color": colour,
    }  # fmt: skip


def level(y: float, name: str = "") -> dict[str, Any]:
    """Returns a dashed horizontal line with its name at the left end."""
    return {
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": theme.GREY, "width": 1, "dash": "dash"},
        "label": {"text": name, "textposition": "start", "font": {"size": 11}},
    }  # fmt: skip


def note(text: str) -> dict[str, Any]:
    """Returns a text in the upper left corner."""
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": 0.02, "y": 0.99, "xanchor": "left",
        "yanchor": "top", "align": "left", "showarrow": False, "font": {"size": 12},
    }  # fmt: skip


def empty_note() -> dict[str, Any]:
    """Returns the text of a figure without points."""
    return {
        **note("nothing is measured yet"),
        "x": 0.5, "y": 0.75, "xanchor": "center", "yanchor": "middle",
    }  # fmt: skip


def short(name: str | None) -> str:
    """Returns a layer's name, or the end of a long one, because names differ at their ends."""
    text = name or ""
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
