"""One kernel beside its approximations: the original, each rebuilt one, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from torch import Tensor

from gdws_explorer.figures import theme

SHOWN = 6  # output and input channels that are drawn
FULL = 0.6  # of the largest weight has full colour, so that the many small ones are seen
COLOURS = [[0.0, theme.VERMILION], [0.5, "rgba(128,128,128,0.10)"], [1.0, theme.BLUE]]


class KernelComparisonInfo(NamedTuple):
    """Panels side by side.

    titles : one per panel. canvas : the panels on one sheet, weights relative to the largest of
    the original, NaN between them, `(height, width)`. centres : of the panels, `(n,)`.
    """

    titles: list[str]
    canvas: NDArray[np.float64]
    centres: list[float]


def info(weight: Tensor, rebuilt: Mapping[str, Tensor]) -> KernelComparisonInfo:
    """The first channels of a kernel `(M, C, Kh, Kw)` and of its approximations, by name.

    The errors in the titles are of the whole kernel: ‖W − Q‖² / ‖W‖².
    """
    original = weight.detach().double().cpu()
    energy = float(original.square().sum()) or 1.0
    titles, kernels = ["the kernel W"], [original]
    for name, approximation in rebuilt.items():
        lost = original - approximation.detach().double().cpu()
        error = float(lost.square().sum()) / energy
        titles += [name, f"lost: {error:.0%} of ‖W‖²"]
        kernels += [original - lost, lost]
    shown = [kernel[:SHOWN, :SHOWN] for kernel in kernels]
    largest = float(shown[0].abs().max()) or 1.0
    panels = [_mosaic(np.clip(kernel.numpy() / largest, -1, 1)) for kernel in shown]
    height, width = panels[0].shape
    between = np.full((height, 3), np.nan)
    parts = [part for panel in panels for part in (panel, between)][:-1]
    centres = [i * (width + 3) + (width - 1) / 2 for i in range(len(panels))]
    return KernelComparisonInfo(titles, np.round(np.hstack(parts), 3), centres)


def figure(data: KernelComparisonInfo, height: int = 250) -> go.Figure:
    """Rows are output channels, columns input channels, small squares the K×K weights."""
    sheet = go.Heatmap(
        z=data.canvas, zmin=-FULL, zmax=FULL, colorscale=COLOURS, showscale=False, hoverinfo="skip"
    )
    drawn = go.Figure(sheet, theme.layout(height, margin={"l": 8, "r": 8, "t": 8, "b": 8}))
    for title, centre in zip(data.titles, data.centres, strict=True):
        drawn.add_annotation(x=centre, y=-2.2, text=title, showarrow=False)
    rows, columns = data.canvas.shape
    return drawn.update_layout(
        xaxis={"visible": False, "range": [-1, columns], "fixedrange": True},
        yaxis={
            "visible": False, "range": [rows, -4], "scaleanchor": "x", "fixedrange": True,
        },
    )  # fmt: skip


def _mosaic(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(M, C, Kh, Kw)` as one sheet: a row per output channel, one empty line between."""
    rows, columns, height, width = kernels.shape
    sheet = np.full((rows, height + 1, columns, width + 1), np.nan)
    sheet[:, :height, :, :width] = kernels.transpose(0, 2, 1, 3)
    return sheet.reshape(rows * (height + 1), -1)[:-1, :-1]
