"""Ranks and residuals of a CSTAR-style training, epoch by epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gdws_explorer.figures import theme
from gdws_explorer.training.cstar_style.admm import AdmmHistory

KEPT_COLOURS = [  # share of a layer's full rank, from 0 to 1
    [0.0, "rgba(128,128,128,0.15)"], [0.35, theme.SKY], [1.0, theme.BLUE],
]  # fmt: skip
LINES = [theme.BLUE, theme.ORANGE, theme.GREEN, theme.VERMILION, theme.PURPLE, theme.SKY]
DASHES = ["solid", "dash", "dot", "dashdot"]
NAMED = 12  # most layers with one line each; of more, only the mean and the largest are drawn


class RanksInfo(NamedTuple):
    """Ranks and residuals by epoch; epoch 0 is the network before the training.

    epochs : `(E,)`. rows : one name per rank, such as "conv2 r_out". share : rank divided by the
    full rank, 1 for a dense layer, `(rows, E)`. text : the ranks as text, `(rows, E)`.
    layers : their names. residual : distance of W to its projection in per cent of `‖W‖`, `(L, E)`.
    """

    epochs: list[int]
    rows: list[str]
    share: NDArray[np.floating[Any]]
    text: list[list[str]]
    layers: list[str]
    residual: NDArray[np.float64]


def info(rounds: AdmmHistory) -> RanksInfo:
    """Returns the arrays of the figure.

    rounds : `CompressedModel.rounds`, or the history of a training that still runs.
    """
    epochs, _, axes = rounds.ranks.shape
    kinds = ("r_out", "r_in") if axes == 2 else ("G",)
    dense = (rounds.ranks == 0).all(axis=2)
    share = np.where(dense[:, :, None], 1.0, rounds.ranks / rounds.full)
    rows = [f"{name} {kind}" for name in rounds.names for kind in kinds]
    text = [
        [
            "dense" if dense[epoch, layer] else f"{rounds.ranks[epoch, layer, axis]} of {full}"
            for epoch in range(epochs)
        ]
        for layer in range(len(rounds.names))
        for axis, full in enumerate(rounds.full[layer])
    ]
    return RanksInfo(
        list(range(epochs)),
        rows,
        np.round(share.transpose(1, 2, 0).reshape(len(rows), epochs), 4),
        text,
        list(rounds.names),
        np.round(100 * rounds.residual.T, 3),
    )


def figure(data: RanksInfo, height: int = 420) -> go.Figure:
    """Returns two subplots: ranks as shares of the full rank above, residuals below."""
    drawn = go.Figure(traces(data), theme.layout(height, legend={"orientation": "h", "y": -0.16}))
    return drawn.update_layout(
        xaxis={"visible": False, "anchor": "y", "matches": "x2"},
        yaxis=theme.axis("", domain=[0.42, 1.0], autorange="reversed", showgrid=False),
        xaxis2=theme.axis("epoch (0: as given)", anchor="y2"),
        yaxis2=theme.axis("‖W − Z‖ / ‖W‖ (%)", domain=[0.0, 0.36], anchor="x2",
                          rangemode="tozero"),
    )  # fmt: skip


def traces(data: RanksInfo) -> list[Any]:
    """Returns the heatmap of ranks, and the lines of residuals."""
    heat = go.Heatmap(
        x=data.epochs, y=data.rows, z=data.share, text=data.text, zmin=0, zmax=1,
        colorscale=KEPT_COLOURS, xgap=1, ygap=1,
        colorbar={"title": {"text": "of full rank"}, "tickformat": ".0%", "thickness": 12,
                  "y": 0.71, "len": 0.6},
        hovertemplate="epoch %{x} · %{y}<br>%{text}<extra></extra>",
    )  # fmt: skip
    return [heat, *(_line(data, i, *line) for i, line in enumerate(_lines(data)))]


def _line(data: RanksInfo, i: int, name: str, values: NDArray[np.float64]) -> go.Scatter:
    dash = DASHES[i // len(LINES) % len(DASHES)]
    return go.Scatter(
        x=data.epochs, y=values, name=name, mode="lines", xaxis="x2", yaxis="y2",
        line={"color": LINES[i % len(LINES)], "dash": dash, "width": 1.5},
        hovertemplate="epoch %{x}: %{y:.1f} %<extra>%{fullData.name}</extra>",
    )  # fmt: skip


def _lines(data: RanksInfo) -> list[tuple[str, NDArray[np.float64]]]:
    if len(data.layers) <= NAMED:
        return list(zip(data.layers, data.residual, strict=True))
    mean, largest = data.residual.mean(axis=0), data.residual.max(axis=0)
    return [("mean of the layers", mean), ("largest", largest)]
