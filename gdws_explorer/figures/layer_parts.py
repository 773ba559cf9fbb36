"""Figures of one layer: its GDWS triplets and kernels, its Tucker-2 errors, its SVD errors.

The traces show all ranks and are drawn once. The shapes above them show the chosen ranks, because
plotly moves a shape in a few milliseconds and draws a figure with a changed trace anew.
"""

from __future__ import annotations

import itertools
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gdws_explorer.factorize.gdws import GDWSSpectrum
from gdws_explorer.factorize.svd import MatrixSpectrum
from gdws_explorer.factorize.tucker import Tucker2Spectrum
from gdws_explorer.figures import theme
from gdws_explorer.network.plans.cost import tucker2_cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.typing import FloatArray

TILES = 40  # depthwise kernels drawn as small images, the strongest first
TILE_COLUMNS = 10
_TRANSPARENT = "rgba(128,128,128,0)"
DROPPED = {"layer": "above", "line": {"width": 0}, "fillcolor": "rgba(150,150,150,0.8)"}
CELL_COLOURS = [  # strength of a triplet, from -4 to 0
    [0.0, "rgba(86,180,233,0.35)"], [0.5, "rgb(44,147,206)"], [1.0, theme.BLUE],
]  # fmt: skip
KERNEL_COLOURS = [  # weights from -1 to 1, transparent at 1.5; see `mosaic`
    [0.0, theme.VERMILION], [0.4, "rgba(128,128,128,0.10)"], [0.8, theme.BLUE],
    [0.8, _TRANSPARENT], [1.0, _TRANSPARENT],
]  # fmt: skip


class SpectrumInfo(NamedTuple):
    """A layer's singular triplets and strongest depthwise kernels.

    strength : log10 of σ² relative to the largest, `(R, C)` for rank and channel, at least -4.
    kept : True for the triplets that are kept, `(R, C)`.
    kernels : the strongest depthwise kernels with unit norm, `(n, Kh, Kw)`. kernels_kept : True
    for those that are kept, `(n,)`. kernel_channel, kernel_rank : the triplet of each, `(n,)`.
    """

    strength: FloatArray
    kept: NDArray[np.bool_]
    kernels: FloatArray
    kernels_kept: NDArray[np.bool_]
    kernel_channel: NDArray[np.int64]
    kernel_rank: NDArray[np.int64]

    def keeping(self, counts: NDArray[np.int64]) -> SpectrumInfo:
        """Returns the same triplets, others kept. counts : those of every channel, `(C,)`."""
        return self._replace(
            kept=np.arange(len(self.kept))[:, None] < counts,
            kernels_kept=self.kernel_rank < counts[self.kernel_channel],
        )


class GridInfo(NamedTuple):
    """A layer's Tucker-2 errors for a grid of rank pairs.

    error : log10 of the relative squared error, `(rows, columns)`. macs : fraction of the dense
    MACs, `(rows, columns)`. rows, columns : values of r_out and of r_in. r_out, r_in : the chosen
    pair.
    """

    error: FloatArray
    macs: FloatArray
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    r_out: int
    r_in: int


class CurveInfo(NamedTuple):
    """A layer's SVD errors and costs by rank.

    error : relative squared error at rank 1 … R, `(R,)`. macs : fraction of the dense MACs,
    `(R,)`. rank : the chosen one.
    """

    error: FloatArray
    macs: FloatArray
    rank: int


def curve_info(layer: Layer, family: str, spectrum: MatrixSpectrum, rank: int) -> CurveInfo:
    """Returns the arrays of `curve_figure`. family : "svd" or "spatial". rank : the chosen one."""
    ranks = np.arange(1, spectrum.full + 1)
    energy = float(spectrum.energy.sum()) or 1.0
    macs = np.asarray(FAMILIES[family].cost(layer, ranks).macs) / layer.macs
    return CurveInfo(np.round(spectrum.errors / energy, 5), np.round(macs, 4), rank)


def curve_traces(data: CurveInfo) -> list[go.Scatter]:
    """Returns relative error and MACs by rank."""
    ranks = np.arange(1, len(data.error) + 1)
    line = {"mode": "lines", "hovertemplate": "rank %{x}: %{y:.1%}<extra>%{fullData.name}</extra>"}
    return [
        go.Scatter(
            x=ranks, y=data.error, name="relative error", line={"color": theme.VERMILION}, **line
        ),
        go.Scatter(
            x=ranks, y=data.macs, name="share of the MACs",
            line={"color": theme.GREEN, "dash": "dash"}, **line,
        ),
    ]  # fmt: skip


def curve_shapes(data: CurveInfo) -> list[dict[str, Any]]:
    """Returns rings at the chosen rank, one on each line."""
    heights = (data.error[data.rank - 1], data.macs[data.rank - 1])
    return [_ring(data.rank, float(y), 6, theme.GREY) for y in heights]


def curve_figure(data: CurveInfo, height: int = 300) -> go.Figure:
    """Returns relative error and MACs by rank, with rings at the chosen rank."""
    legend = {"orientation": "h", "y": 1.15}
    return go.Figure(
        curve_traces(data),
        theme.layout(
            height,
            legend=legend,
            xaxis=theme.axis("rank"),
            yaxis=theme.axis("share", tickformat=".0%", rangemode="tozero"),
            shapes=curve_shapes(data),
        ),
    )


def spectrum_info(spectrum: GDWSSpectrum, counts: NDArray[np.int64]) -> SpectrumInfo:
    """Returns the arrays of `spectrum_figure`. counts : triplets kept of every channel `(C,)`."""
    top = spectrum.energy.max() or 1.0
    strength = np.log10(np.maximum(spectrum.energy / top, 1e-4)).T
    strongest = spectrum.uniform.channel[:TILES]
    rank = _occurrence(strongest)
    flat = spectrum.basis[strongest, rank]
    # The sign of a singular vector is arbitrary: the largest weight is drawn positive.
    flat = flat * np.sign(np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], axis=1))
    kernels = flat.reshape(-1, *spectrum.weight.shape[2:])
    kept = np.arange(len(strength))[:, None] < counts
    return SpectrumInfo(strength, kept, kernels, rank < counts[strongest], strongest, rank)


def grid_info(layer: Layer, spectrum: Tucker2Spectrum, r_out: int, r_in: int) -> GridInfo:
    """Returns the arrays of `grid_figure` for a pair of ranks; at most 64 by 64 cells."""
    most_out, most_in = spectrum.full
    rows = np.unique(np.linspace(1, most_out, min(64, most_out)).round().astype(np.int64))
    columns = np.unique(np.linspace(1, most_in, min(64, most_in)).round().astype(np.int64))
    energy = spectrum.energy or 1.0
    errors = np.asarray(spectrum.errors[np.ix_(rows - 1, columns - 1)], np.float64) / energy
    macs = tucker2_cost(layer, rows[:, None], columns[None, :]).macs / layer.macs
    log_errors: FloatArray = np.round(np.log10(errors.clip(1e-6)), 3)
    return GridInfo(log_errors, np.round(macs, 4), rows, columns, r_out, r_in)


def spectrum_figure(data: SpectrumInfo, height: int = 300) -> go.Figure:
    """Returns all triplets of all channels (left) and the strongest kernels (right).

    What is dropped is covered in grey.
    """
    figure = go.Figure(spectrum_traces(data), theme.layout(height, showlegend=False))
    figure.update_layout(
        shapes=spectrum_shapes(data),
        xaxis=theme.axis("input channel c", domain=[0.0, 0.6]),
        yaxis=theme.axis("triplet i", autorange="reversed"),
        xaxis2={"visible": False, "domain": [0.66, 1.0], "anchor": "y2"},
        yaxis2={"visible": False, "autorange": "reversed", "scaleanchor": "x2", "anchor": "x2"},
    )
    return figure


def grid_figure(data: GridInfo, height: int = 300) -> go.Figure:
    """Returns the error of every rank pair as colour, lines of equal MACs, the chosen pair."""
    figure = go.Figure(grid_traces(data), theme.layout(height, showlegend=False))
    figure.update_layout(
        xaxis=theme.axis("r_in: input rank"),
        yaxis=theme.axis("r_out: output rank"),
        shapes=grid_shapes(data),
    )
    return figure


def spectrum_traces(data: SpectrumInfo) -> list[go.Heatmap]:
    """Returns all triplets by strength, and the strongest kernels."""
    return [
        go.Heatmap(
            z=np.round(data.strength, 2), y0=1, zmin=-4, zmax=0, colorscale=CELL_COLOURS,
            showscale=False, xgap=1, ygap=1,
            hovertemplate="channel %{x} · triplet %{y}<extra></extra>",
        ),
        go.Heatmap(
            z=mosaic(data), zmin=-1, zmax=1.5, colorscale=KERNEL_COLOURS, showscale=False,
            hoverinfo="skip", xaxis="x2", yaxis="y2",
        ),
    ]  # fmt: skip


def spectrum_shapes(data: SpectrumInfo) -> list[dict[str, Any]]:
    """Returns grey areas over the dropped triplets and their kernels."""
    rank, channels = data.kept.shape
    counts = data.kept.sum(0).tolist()
    starts = [c for c, (a, b) in enumerate(itertools.pairwise([-1, *counts])) if a != b]
    runs = itertools.pairwise([*starts, channels])  # of channels with equal counts
    steps = " ".join([_step(left, right, counts[left]) for left, right in runs])
    cells = f"M-0.5,{rank + 0.5} {steps} L{channels - 0.5},{rank + 0.5} Z"
    dropped = (~data.kernels_kept).tolist()
    tiles = " ".join(itertools.compress(_tiles(*data.kernels.shape), dropped))
    return [
        {"type": "path", "path": cells, "xref": "x", "yref": "y", **DROPPED},
        {"type": "path", "path": tiles or "M0,0 Z", "xref": "x2", "yref": "y2", **DROPPED},
    ]


@lru_cache(1 << 14)  # numbers are slow to write, and a move changes few steps
def _step(left: int, right: int, count: int) -> str:
    """Returns the part of a path below `count` triplets of the channels left … right - 1."""
    return f"L{left - 0.5},{count + 0.5} L{right - 0.5},{count + 0.5}"


@cache
def _tiles(count: int, height: int, width: int) -> tuple[str, ...]:
    """Returns the path around every kernel in the image."""
    return tuple(
        f"M{left - 0.5},{top - 0.5} h{width} v{height} h-{width} Z"
        for top, left in _corners(count, height, width)
    )


def mosaic(data: SpectrumInfo) -> FloatArray:
    """Returns all kernels as one image: weights from -1 to 1, and 1.5 between two kernels."""
    _, height, width = data.kernels.shape
    corners = _corners(*data.kernels.shape)
    bottom, right = corners[-1][0] + height, max(left for _, left in corners) + width
    canvas = np.full((bottom, right), 1.5)
    for (top, left), tile in zip(corners, np.round(data.kernels, 2), strict=True):
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _corners(count: int, height: int, width: int) -> list[tuple[int, int]]:
    """Returns the top row and left column of every kernel in the image."""
    return [
        (i // TILE_COLUMNS * (height + 1), i % TILE_COLUMNS * (width + 1)) for i in range(count)
    ]


def grid_traces(data: GridInfo) -> list[go.Heatmap | go.Contour]:
    """Returns the errors, and the lines of equal MACs."""
    errors = go.Heatmap(
        x=data.columns, y=data.rows, z=data.error, zmin=-2.5, zmax=0, colorscale=theme.ERROR,
        customdata=data.macs,
        colorbar={
            "title": {"text": "relative error"}, "tickvals": [-2, -1.301, -1, -0.523, 0],
            "ticktext": ["1 %", "5 %", "10 %", "30 %", "100 %"], "thickness": 12,
        },
        hovertemplate="r_out %{y} · r_in %{x}<br>%{customdata:.0%} of the dense MACs"
        "<br>log₁₀ of the relative error: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    macs = go.Contour(
        x=data.columns, y=data.rows, z=data.macs, showscale=False, hoverinfo="skip",
        contours={
            "start": 0.2, "end": 1.0, "size": 0.2, "coloring": "none", "showlabels": True,
            "labelformat": ".0%", "labelfont": {"color": "white", "size": 12},
        },
        line={"color": "white", "width": 1},
    )  # fmt: skip
    return [errors, macs]


def grid_shapes(data: GridInfo) -> list[dict[str, Any]]:
    """Returns a ring at the chosen pair."""
    return [_ring(data.r_in, data.r_out, 8, "white")]


def _ring(x: float, y: float, radius: int, colour: str) -> dict[str, Any]:
    """Returns a circle of `radius` pixels."""
    return {
        "type": "circle", "xsizemode": "pixel", "ysizemode": "pixel", "xanchor": x, "yanchor": y,
        "x0": -radius, "x1": radius, "y0": -radius, "y1": radius,
        "line": {"color": colour, "width": 3},
    }  # fmt: skip


def _occurrence(channels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how often each entry's channel occurred before: the rank within its channel."""
    seen: dict[int, int] = {}
    ranks = []
    for channel in channels.tolist():
        ranks.append(seen.get(channel, 0))
        seen[channel] = ranks[-1] + 1
    return np.array(ranks, dtype=np.int64)
