"""Many records at once: how a search grows, one metric's histogram, all metrics in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.study.filters import METRICS, Filters, Histogram
from gdws_explorer.study.records import Record
from gdws_explorer.utils.format import millions

AXES = {  # of parallel coordinates, with names that fit beside each other
    "macs": "MACs", "params": "parameters", "relative_error": "log₁₀ error", "clean": "clean (%)",
    "robust": "robust (%)",
}  # fmt: skip


def growth(volumes: npt.ArrayLike, height: int = 190) -> go.Figure:
    """The hypervolume after every evaluation; a flat end says that more of them find little."""
    values = np.asarray(volumes, dtype=np.float64)
    line = go.Scatter(
        x=np.arange(1, len(values) + 1), y=values, mode="lines",
        line={"color": theme.BLUE, "width": 2, "shape": "hv"},
        hovertemplate="%{y:.4f} after %{x}<extra></extra>",
    )  # fmt: skip
    return go.Figure(
        line,
        theme.layout(
            height,
            margin={"l": 60, "r": 12, "t": 12, "b": 40},
            xaxis=theme.axis("evaluations", rangemode="tozero"),
            yaxis=theme.axis("hypervolume", rangemode="tozero"),
        ),
    )


def histogram(
    data: Histogram, brush: tuple[int, int] | None = None, height: int = 190
) -> go.Figure:
    """Bars of the records that pass the filters, and on top of them those that do not.

    The bins are at 0, 1, 2 … on the axis, whatever the metric's scale. brush : its first and last
    bin, drawn as a veil.
    """
    metric = METRICS[data.metric]
    scale = 100 if metric.per_cent else 1
    bins = len(data.kept)
    middle = np.arange(bins) + 0.5
    words = [
        f"{millions(low * scale)} to {millions(high * scale)}"
        for low, high in zip(data.edges[:-1], data.edges[1:], strict=True)
    ]
    bars = [
        go.Bar(
            x=middle, y=counts, name=name, customdata=words, marker=marker,
            hovertemplate=f"%{{y}} {name}: %{{customdata}}<extra></extra>",
            unselected={"marker": {"opacity": 1}},
        )
        for name, counts, marker in (
            ("kept", data.kept, {"color": theme.BLUE}),
            ("greyed out", data.out, {"color": theme.GREY, "pattern": {"shape": "/"}}),
        )
    ]  # fmt: skip
    at = np.linspace(0, bins, 5).round().astype(int)
    ticks = [millions(data.edges[i] * scale) for i in at]
    return go.Figure(
        bars,
        theme.layout(
            height,
            barmode="stack",
            bargap=0.08,
            showlegend=False,
            shapes=brush_shapes(brush),
            dragmode="select",
            selectdirection="h",
            newselection={"line": {"color": "rgba(0,0,0,0)"}},  # the veil says it
            margin={"l": 48, "r": 26, "t": 12, "b": 40},
            xaxis=theme.axis(
                metric.label, range=[0, bins], tickvals=at, ticktext=ticks, fixedrange=True
            ),
            yaxis=theme.axis("plans", rangemode="tozero", fixedrange=True),
        ),
    )


def brush_shapes(brush: tuple[int, int] | None) -> list[dict[str, Any]]:
    """A veil over the bins of a brush; nothing where it is None."""
    if brush is None:
        return []
    low, high = brush
    return [{
        "type": "rect", "xref": "x", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1,
        "fillcolor": theme.ORANGE, "opacity": 0.18, "line": {"width": 1, "color": theme.ORANGE},
    }]  # fmt: skip


def parallel(records: Sequence[Record], filters: Filters, height: int = 320) -> go.Figure:
    """One line per record over all metrics, coloured by the last one; filters are drawn on it."""
    names = [name for name in AXES if any(METRICS[name].value(r) is not None for r in records)]
    kept = [r for r in records if all(METRICS[name].value(r) is not None for name in names)]
    dimensions = [_dimension(kept, name, filters) for name in names]
    last = dimensions[-1]["values"] if dimensions else []
    lines = go.Parcoords(
        dimensions=dimensions,
        line={"color": last, "colorscale": theme.ERROR, "reversescale": True, "showscale": False},
        labelfont={"size": 12}, tickfont={"size": 11}, rangefont={"size": 11},
        unselected={"line": {"color": theme.GREY, "opacity": 0.12}},
    )  # fmt: skip
    return go.Figure(lines, theme.layout(height, margin={"l": 60, "r": 50, "t": 50, "b": 20}))


def _dimension(records: Sequence[Record], name: str, filters: Filters) -> dict[str, Any]:
    metric = METRICS[name]
    values = to_axis(name, [float(metric.value(r) or 0.0) for r in records])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    axis: dict[str, Any] = {
        "label": AXES[name],
        "values": values,
        "range": [low, high],
        "name": name,
    }
    ranges = [r for r in (*filters.bounds, *filters.brushes) if r.keep and r.metric == name]
    if ranges:
        ends = to_axis(name, [max(r.low for r in ranges), min(r.high for r in ranges)])
        axis["constraintrange"] = [max(low, float(ends[0])), min(high, float(ends[1]))]
    return axis


def to_axis(name: str, values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Values as the parallel axis of a metric shows them: per cent, or logarithms."""
    table = np.asarray(values, dtype=np.float64)
    if METRICS[name].log:
        return np.log10(np.maximum(table, 1e-8))
    return 100 * table if METRICS[name].per_cent else table


def from_axis(name: str, values: Sequence[float]) -> list[float]:
    """The inverse of `drawn`."""
    table = np.asarray(values, dtype=np.float64)
    if METRICS[name].log:
        return [float(v) for v in 10**table]
    return [float(v) for v in (table / 100 if METRICS[name].per_cent else table)]
