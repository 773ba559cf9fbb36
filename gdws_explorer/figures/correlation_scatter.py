"""Analytic error against measured loss of every step, with Spearman's rank correlation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.figures.layerwise_curves import (
    LayerLine,
    LayerwiseInfo,
    axis_errors,
    bars,
    base,
    empty_note,
    gaps,
    level,
    note,
    scale,
    short,
)
from gdws_explorer.figures.pareto_front import STYLE
from gdws_explorer.study.rank_correlation import RankCorrelation


class StepPoints(NamedTuple):
    """Steps as points, `(k,)` lists: error, loss in percentage points with interval, texts.

    x : analytic errors, as the axis can show them. y, low, high : losses with the paired 95 %
    interval; NaN where not measured. layers : names. text : hover texts.
    """

    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    layers: list[str]
    text: list[str]


class CorrelationInfo(NamedTuple):
    """The points of the chosen layer and of the others.

    metric : "clean" or "robust", whose loss is drawn. chosen : the chosen layer's name.
    others, own : their points. x_title, x_scale : title and scale of the error axis.
    correlation : Spearman's ρ of all points.
    """

    metric: str
    chosen: str | None
    others: StepPoints
    own: StepPoints
    x_title: str
    x_scale: dict[str, Any]
    correlation: RankCorrelation


def info(
    layers: LayerwiseInfo,
    correlation: RankCorrelation,
    chosen: str | None = None,
    metric: str = "robust",
) -> CorrelationInfo:
    """Returns the arrays of the figure.

    Parameters
    ----------
    layers : LayerwiseInfo
        All layers' steps, from `layerwise_curves.info`.
    correlation : RankCorrelation
        Of the same errors and losses, from `study.rank_correlation.spearman`.
    chosen : str, optional
        The layer in colour.
    metric : str
        "clean" or "robust".

    Returns
    -------
    CorrelationInfo
    """
    own = [line for line in layers.lines if line.name == chosen]
    others = [line for line in layers.lines if line.name != chosen]
    return CorrelationInfo(
        metric,
        chosen,
        _points(layers, others, metric),
        _points(layers, own, metric),
        layers.axis,
        scale(layers),
        correlation,
    )


def figure(data: CorrelationInfo, height: int = 470) -> go.Figure:
    """Returns the losses by the analytic errors, with Spearman's ρ as a note."""
    return go.Figure(traces(data), base(height).update(layout(data)))


def traces(data: CorrelationInfo) -> list[go.Scatter]:
    """Returns two traces: the other layers' steps, and the chosen layer's with intervals."""
    colour, symbol, _ = STYLE[data.metric]
    others = go.Scatter(
        **_arrays(data.others),
        name="other layers",
        marker={"symbol": f"{symbol}-open", "size": 7, "color": theme.GREY},
    )
    own = go.Scatter(
        **_arrays(data.own),
        name=short(data.chosen),
        marker={"symbol": symbol, "size": 10, "color": colour},
        error_y=bars(
            [high - y for high, y in zip(data.own.high, data.own.y, strict=True)],
            [y - low for low, y in zip(data.own.low, data.own.y, strict=True)],
            colour,
        ),
    )
    return [others, own]


def layout(data: CorrelationInfo) -> dict[str, Any]:
    """Returns axes, the line of no loss, and ρ."""
    both = (data.others, data.own)
    measured = [y for points in both for y in points.y if not np.isnan(y)]
    ends = [y for points in both for y in (*points.low, *points.high) if not np.isnan(y)]
    low, high = min([-2.0, *measured, *ends]), max([6.0, *measured, *ends])
    return {
        "xaxis": theme.axis(data.x_title, **data.x_scale),
        "yaxis": theme.axis(
            f"{data.metric} accuracy lost (points)",
            range=[low - 0.04 * (high - low), high + 0.15 * (high - low)],
        ),
        "shapes": [level(0.0)],
        "annotations": [note(rho_text(data.correlation)) if measured else empty_note()],
    }


def rho_text(correlation: RankCorrelation) -> str:
    """Returns ρ with its interval, and the numbers of points and layers."""
    if correlation.rho is None:
        return "Spearman’s ρ is undefined"
    interval = ""
    if correlation.interval is not None:
        low, high = correlation.interval
        interval = f" (95 %: {low:.2f} to {high:.2f})"
    layers = "1 layer" if correlation.layers == 1 else f"{correlation.layers} layers"
    return f"Spearman’s ρ = {correlation.rho:.2f}{interval}<br>{correlation.n} points, {layers}"


def _points(layers: LayerwiseInfo, lines: list[LayerLine], metric: str) -> StepPoints:
    return StepPoints(
        [x for line in lines for x in axis_errors(layers, line)],
        [y for line in lines for y in line.loss[metric]],
        [y for line in lines for y in line.loss_low[metric]],
        [y for line in lines for y in line.loss_high[metric]],
        [line.name for line in lines for _ in line.share],
        [text for line in lines for text in line.text],
    )


def _arrays(points: StepPoints) -> dict[str, Any]:
    """Returns what both traces have in common."""
    return {
        "x": points.x, "y": gaps(points.y), "customdata": points.layers, "text": points.text,
        "hovertemplate": "%{text}<extra></extra>", "mode": "markers",
    }  # fmt: skip
