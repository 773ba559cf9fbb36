"""Images in rows, each with what a network takes it for: originals above, attacked ones below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from gdws_explorer.figures import theme

GAP = 3  # pixels of the images between two of them; the answers stand in it


class ImagesInfo(NamedTuple):
    """Rows of images and answers.

    rows : the rows' names. canvas : all images on one sheet, NaN between them, `(height, width)`.
    answers : `(rows, n)`. right : which answers are the label, `(rows, n)`. size : (H, W).
    """

    rows: list[str]
    canvas: NDArray[np.float64]
    answers: NDArray[np.int64]
    right: NDArray[np.bool_]
    size: tuple[int, int]


def info(rows: Mapping[str, tuple[ArrayLike, ArrayLike]], labels: ArrayLike) -> ImagesInfo:
    """The sheet of `{name: (images, answers)}`.

    images : `(n, 1, H, W)` or `(n, H, W)` in [0, 1]. answers, labels : classes `(n,)`.
    """
    pictures = [_grey(images) for images, _ in rows.values()]
    answers = np.array([np.asarray(a, dtype=np.int64) for _, a in rows.values()])
    count, height, width = pictures[0].shape
    step_down, step_right = height + GAP, width + GAP
    canvas = np.full((len(pictures) * step_down, count * step_right - GAP), np.nan)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            top, left = i * step_down, j * step_right
            canvas[top : top + height, left : left + width] = np.round(picture, 2)
    right = answers == np.asarray(labels, dtype=np.int64)
    return ImagesInfo(list(rows), canvas, answers, right, (height, width))


def figure(data: ImagesInfo, height: int = 280) -> go.Figure:
    """The sheet; under each image the answer, a wrong one crossed and in another colour."""
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
        for j, answer in enumerate(data.answers[i]):
            good = data.right[i, j]
            drawn.add_annotation(
                x=j * (wide + GAP) + wide / 2 - 0.5,
                y=top + tall + GAP / 2 - 0.5,
                text=f"{answer} ✓" if good else f"<b>{answer} ✗</b>",
                font={"color": theme.GREY if good else theme.VERMILION},
                showarrow=False,
            )
    room = 0.2 * data.canvas.shape[1]  # left of the sheet, for the rows' names
    return drawn.update_layout(
        xaxis={"visible": False, "range": [-room, data.canvas.shape[1] + 1], "fixedrange": True},
        yaxis={
            "visible": False, "range": [data.canvas.shape[0], -1], "scaleanchor": "x",
            "fixedrange": True,
        },
    )  # fmt: skip


def _grey(images: ArrayLike) -> NDArray[np.float64]:
    """One channel `(n, H, W)`; of colour images their mean."""
    array = np.asarray(images, dtype=np.float64)
    return array.mean(axis=1) if array.ndim == 4 else array
