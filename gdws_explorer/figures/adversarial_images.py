"""Rows of images with a network's predictions: originals, and attacked images below them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from gdws_explorer.figures import theme

GAP = 3  # image pixels between two images, with room for the predictions


class ImagesInfo(NamedTuple):
    """Images and predictions in rows.

    rows : names of the rows. canvas : all images as one, NaN between them, `(height, width)`.
    predictions : classes `(rows, n)`. correct : True where the prediction is the label,
    `(rows, n)`. size : (H, W) of one image.
    """

    rows: list[str]
    canvas: NDArray[np.float64]
    predictions: NDArray[np.int64]
    correct: NDArray[np.bool_]
    size: tuple[int, int]


def info(rows: Mapping[str, tuple[ArrayLike, ArrayLike]], labels: ArrayLike) -> ImagesInfo:
    """Returns the arrays of the figure.

    Parameters
    ----------
    rows : mapping of str to (images, predictions)
        images `(n, channels, H, W)` or `(n, H, W)` in [0, 1], predicted classes `(n,)`.
    labels : array
        Classes `(n,)`.

    Returns
    -------
    ImagesInfo
    """
    pictures = [_grey(images) for images, _ in rows.values()]
    predictions = np.array([np.asarray(a, dtype=np.int64) for _, a in rows.values()])
    count, height, width = pictures[0].shape
    step_down, step_right = height + GAP, width + GAP
    canvas = np.full((len(pictures) * step_down, count * step_right - GAP), np.nan)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            top, left = i * step_down, j * step_right
            canvas[top : top + height, left : left + width] = np.round(picture, 2)
    correct = predictions == np.asarray(labels, dtype=np.int64)
    return ImagesInfo(list(rows), canvas, predictions, correct, (height, width))


def figure(data: ImagesInfo, height: int = 280) -> go.Figure:
    """Returns the images with the prediction under each.

    A wrong prediction has a cross and another colour.
    """
    tall, wide = data.size
    sheet = go.Heatmap(
        z=data.canvas, zmin=0, zmax=1, colorscale=[[0, "#101010"], [1, "#f4f4f4"]],
        showscale=False, hoverinfo="skip",
    )  # fmt: skip
    drawn = go.Figure(sheet, theme.layout(height, margin={"l": 8, "r": 8, "t": 8, "b": 8}))
    for i, name in enumerate(data.rows):
        top = i * (tall + GAP)
        drawn.add_annotation(
            x=-2, y=top + tall / 2 - 0.5, text=name, xanchor="right", align="right", showarrow=False
        )
        for j, predicted in enumerate(data.predictions[i]):
            correct = data.correct[i, j]
            drawn.add_annotation(
                x=j * (wide + GAP) + wide / 2 - 0.5,
                y=top + tall + GAP / 2 - 0.5,
                text=f"{predicted} ✓" if correct else f"<b>{predicted} ✗</b>",
                font={"color": theme.GREY if correct else theme.VERMILION},
                showarrow=False,
            )
    room = 0.2 * data.canvas.shape[1]  # left of the images, for the names of the rows
    return drawn.update_layout(
        xaxis={"visible": False, "range": [-room, data.canvas.shape[1] + 1], "fixedrange": True},
        yaxis={
            "visible": False, "range": [data.canvas.shape[0], -1], "scaleanchor": "x",
            "fixedrange": True,
        },
    )  # fmt: skip


def _grey(images: ArrayLike) -> NDArray[np.float64]:
    """Returns grey images `(n, H, W)`: the mean of the channels."""
    array = np.asarray(images, dtype=np.float64)
    return array.mean(axis=1) if array.ndim == 4 else array
