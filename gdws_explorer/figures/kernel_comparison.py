"""A kernel, its approximations, and their differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from torch import Tensor

from gdws_explorer.figures import theme

SHOWN = 6  # drawn output and input channels
FULL = 0.6  # fraction of the largest weight with full colour, so that small weights are visible
COLOURS = [[0.0, theme.VERMILION], [0.5, "rgba(128,128,128,0.10)"], [1.0, theme.BLUE]]


class KernelComparisonInfo(NamedTuple):
    """Kernels in one row.

    titles : of the n kernels. canvas : all kernels as one image `(height, width)`, weights divided
    by the largest one of the original, NaN between two kernels. centres : x of their centres,
    `(n,)`.
    """

    titles: list[str]
    canvas: NDArray[np.float64]
    centres: list[float]


def info(weight: Tensor, rebuilt: Mapping[str, Tensor]) -> KernelComparisonInfo:
    """Returns the arrays of the figure, of the first channels only.

    The errors in the titles are those of the whole kernel: ‖W − Q‖² / ‖W‖².

    Parameters
    ----------
    weight : Tensor
        The kernel W, `(M, C, Kh, Kw)`.
    rebuilt : mapping of str to Tensor
        Its approximations Q by name, of the same shape.

    Returns
    -------
    KernelComparisonInfo
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
    """Returns the kernels in one row.

    Rows are output channels, columns input channels, small squares the K×K weights.
    """
    heatmap = go.Heatmap(
        z=data.canvas, zmin=-FULL, zmax=FULL, colorscale=COLOURS, showscale=False, hoverinfo="skip"
    )
    drawn = go.Figure(heatmap, theme.layout(height, margin={"l": 8, "r": 8, "t": 8, "b": 8}))
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
    """Returns kernels `(M, C, Kh, Kw)` as one image with an empty line between two of them.

    There is one row per output channel.
    """
    rows, columns, height, width = kernels.shape
    image = np.full((rows, height + 1, columns, width + 1), np.nan)
    image[:, :height, :, :width] = kernels.transpose(0, 2, 1, 3)
    return image.reshape(rows * (height + 1), -1)[:-1, :-1]
