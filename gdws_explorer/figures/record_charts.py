"""Charts of many records: growth of the hypervolume, a histogram, parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.study.filters import METRICS, Filters, Histogram
from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray
from gdws_explorer.utils.format import millions

AXES = {  # of parallel coordinates, with names short enough for neighbouring axes
    "macs": "MACs", "params": "parameters", "relative_error": "log₁₀ error", "clean": "clean (%)",
    "robust": "robust (%)",
}  # fmt: skip
TICKS = 5  # on the axis of a histogram


# -- the hypervolume ----------------------------------------------------------------------------


class GrowthInfo(NamedTuple):
    """The hypervolume `(n,)` after 1 … n evaluations."""

    evaluations: npt.NDArray[np.int64]
    volumes: FloatArray


def growth_info(volumes: npt.ArrayLike) -> GrowthInfo:
    """Returns the arrays of `growth_figure` for the hypervolumes after every evaluation."""
    values = np.asarray(volumes, dtype=np.float64)
    return GrowthInfo(np.arange(1, len(values) + 1), values)


def growth_figure(data: GrowthInfo, height: int = 190) -> go.Figure:
    """Returns the hypervolume by the number of evaluations.

    A flat end means that more evaluations improve the front little.
    """
    line = go.Scatter(
        x=data.evaluations, y=data.volumes, mode="lines",
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


# -- the histogram of a metric ------------------------------------------------------------------


class HistogramInfo(NamedTuple):
    """A histogram whose bins are at 0, 1, 2 … on the axis, whatever the metric's scale.

    title : of the axis. kept, filtered_out : numbers of records `(bins,)`. ranges : the bins'
    values as text, `(bins,)`. ticks : positions, ends of bins; tick_text : their values.
    brush : the selected bins, from the first up to the one after the last; None for all.
    """

    title: str
    kept: FloatArray
    filtered_out: FloatArray
    ranges: list[str]
    ticks: list[int]
    tick_text: list[str]
    brush: tuple[int, int] | None


def histogram_info(data: Histogram, brush: tuple[int, int] | None = None) -> HistogramInfo:
    """Returns the arrays of `histogram_figure`.

    data : the counts, from `study.filters.histogram`. brush : the selected bins, or None.
    """
    metric = METRICS[data.metric]
    edges = [millions(edge * (100 if metric.per_cent else 1)) for edge in data.edges]
    ticks = [round(tick) for tick in np.linspace(0, len(data.kept), TICKS)]
    return HistogramInfo(
        title=metric.label,
        kept=data.kept,
        filtered_out=data.out,
        ranges=[f"{low} to {high}" for low, high in pairwise(edges)],
        ticks=ticks,
        tick_text=[edges[tick] for tick in ticks],
        brush=brush,
    )


def histogram_figure(data: HistogramInfo, height: int = 190) -> go.Figure:
    """Returns stacked bars: the records that pass the filters, and those that fail them."""
    bins = len(data.kept)
    bars = [
        go.Bar(
            x=np.arange(bins) + 0.5, y=counts, name=name, customdata=data.ranges, marker=marker,
            hovertemplate=f"%{{y}} {name}: %{{customdata}}<extra></extra>",
            unselected={"marker": {"opacity": 1}},
        )
        for name, counts, marker in (
            ("kept", data.kept, {"color": theme.BLUE}),
            ("greyed out", data.filtered_out, {"color": theme.GREY, "pattern": {"shape": "/"}}),
        )
    ]  # fmt: skip
    return go.Figure(
        bars,
        theme.layout(
            height,
            barmode="stack",
            bargap=0.08,
            showlegend=False,
            shapes=brush_shapes(data.brush),
            dragmode="select",
            selectdirection="h",
            newselection={"line": {"color": "rgba(0,0,0,0)"}},  # the brush's shape shows it
            margin={"l": 48, "r": 26, "t": 12, "b": 40},
            xaxis=theme.axis(
                data.title, range=[0, bins], tickvals=data.ticks, ticktext=data.tick_text,
                fixedrange=True,
            ),
            yaxis=theme.axis("plans", rangemode="tozero", fixedrange=True),
        ),
    )  # fmt: skip


def brush_shapes(brush: tuple[int, int] | None) -> list[dict[str, Any]]:
    """Returns a transparent rectangle over the selected bins; nothing for None."""
    if brush is None:
        return []
    first, end = brush
    return [{
        "type": "rect", "xref": "x", "yref": "paper", "x0": first, "x1": end, "y0": 0, "y1": 1,
        "fillcolor": theme.ORANGE, "opacity": 0.18, "line": {"width": 1, "color": theme.ORANGE},
    }]  # fmt: skip


def selected_bins(low: float, high: float, bins: int) -> tuple[int, int]:
    """Returns the bins that a range on the axis covers, as a brush: at least one bin."""
    first, end = (min(bins, max(0, round(value))) for value in (low, high))
    return (first, max(end, first + 1)) if first < bins else (bins - 1, bins)


# -- parallel coordinates -----------------------------------------------------------------------


class ParallelAxis(NamedTuple):
    """One metric as an axis of parallel coordinates.

    metric : its name. label : the axis title. values : of every record `(n,)`, in the axis's unit.
    range : its ends. selected : the ends of the filter on this metric; None without one.
    """

    metric: str
    label: str
    values: FloatArray
    range: tuple[float, float]
    selected: tuple[float, float] | None


def parallel_info(records: Sequence[Record], filters: Filters) -> list[ParallelAxis]:
    """Returns one axis for every metric that a record has.

    Records that lack one of these metrics are left out.
    """
    names = [name for name in AXES if any(METRICS[name].value(r) is not None for r in records)]
    complete = [r for r in records if all(METRICS[name].value(r) is not None for name in names)]
    return [_parallel_axis(complete, name, filters) for name in names]


def parallel_figure(data: Sequence[ParallelAxis], height: int = 320) -> go.Figure:
    """Returns one line per record over all metrics, coloured by the last metric."""
    dimensions = [
        {
            "label": axis.label, "values": axis.values, "range": list(axis.range),
            "name": axis.metric,
            **({} if axis.selected is None else {"constraintrange": list(axis.selected)}),
        }
        for axis in data
    ]  # fmt: skip
    colours = data[-1].values if data else None
    lines = go.Parcoords(
        dimensions=dimensions,
        line={
            "color": colours, "colorscale": theme.ERROR, "reversescale": True, "showscale": False,
        },
        labelfont={"size": 12}, tickfont={"size": 11}, rangefont={"size": 11},
        unselected={"line": {"color": theme.GREY, "opacity": 0.12}},
    )  # fmt: skip
    return go.Figure(lines, theme.layout(height, margin={"l": 60, "r": 50, "t": 50, "b": 20}))


def _parallel_axis(records: Sequence[Record], name: str, filters: Filters) -> ParallelAxis:
    metric = METRICS[name]
    values = to_axis(name, [float(metric.value(r) or 0.0) for r in records])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    selected = None
    ranges = [r for r in (*filters.bounds, *filters.brushes) if r.keep and r.metric == name]
    if ranges:
        ends = to_axis(name, [max(r.low for r in ranges), min(r.high for r in ranges)])
        selected = max(low, float(ends[0])), min(high, float(ends[1]))
    return ParallelAxis(name, AXES[name], values, (low, high), selected)


def to_axis(name: str, values: Sequence[float]) -> FloatArray:
    """Converts a metric's values to its parallel axis: per cent, logarithm, or unchanged."""
    table = np.asarray(values, dtype=np.float64)
    if METRICS[name].log:
        return np.log10(np.maximum(table, 1e-8))
    return 100 * table if METRICS[name].per_cent else table


def from_axis(name: str, values: Sequence[float]) -> list[float]:
    """Converts values of a metric's parallel axis back; the inverse of `to_axis`."""
    table = np.asarray(values, dtype=np.float64)
    if METRICS[name].log:
        return [float(v) for v in 10**table]
    return [float(v) for v in (table / 100 if METRICS[name].per_cent else table)]
