"""Loss and accuracy of a training, epoch by epoch.

The ranks of a CSTAR-style training are in `figures.admm_ranks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.figures.pareto_front import STYLE
from gdws_explorer.training.callbacks import EpochRecord
from gdws_explorer.training.training_progress import TrainingProgress

HEIGHT = 460  # pixels


class LossLine(NamedTuple):
    """One line. x : epochs, counted through both parts. y : values. text : hover texts."""

    x: list[int]
    y: list[float]
    text: list[str]


class AccuracyLine(NamedTuple):
    """An accuracy on the held-out images, per cent, with its 95 % Wilson interval by epoch."""

    x: list[int]
    y: list[float]
    low: list[float]
    high: list[float]
    text: list[str]


class TrainingInfo(NamedTuple):
    """The lines of one training.

    loss : of the part towards low rank, including its penalty, and of the factors. learned :
    accuracy on the training images, per cent. clean, robust : accuracy on held-out images.
    planned : epochs of both parts.
    """

    loss: tuple[LossLine, LossLine]
    learned: LossLine
    clean: AccuracyLine
    robust: AccuracyLine
    planned: tuple[int, int]


def info(progress: TrainingProgress) -> TrainingInfo:
    """Returns the arrays of the figure for the epochs so far."""
    low, late = progress.low_rank, progress.factors
    after = len(low)
    numbered = [(e.number, e) for e in low] + [(after + e.number, e) for e in late]
    return TrainingInfo(
        loss=(_loss(low, 0), _loss(late, after)),
        learned=LossLine(
            [x for x, _ in numbered],
            [100 * e.correct / e.seen for _, e in numbered],
            [f"{e.correct} of {e.seen} right while learning" for _, e in numbered],
        ),
        clean=_measured(numbered, "clean"),
        robust=_measured(numbered, "robust"),
        planned=progress.planned,
    )


def figure(data: TrainingInfo) -> go.Figure:
    """Returns two subplots: loss above, accuracy below."""
    return go.Figure(traces(data), layout(data))


def traces(data: TrainingInfo) -> list[Any]:
    """Returns five traces, always in the same order: two losses and three accuracies."""
    towards, factors = data.loss
    both = bool(data.planned[0])
    return [
        _line(towards, "loss towards low rank", theme.ORANGE, "dash"),
        _line(factors, "loss of the factors" if both else "loss", theme.VERMILION, "solid"),
        go.Scatter(
            x=data.learned.x, y=data.learned.y, text=data.learned.text, mode="lines",
            name="while learning", line={"color": theme.GREY, "dash": "dash", "width": 1.5},
            yaxis="y2", hovertemplate="epoch %{x}: %{y:.1f} %<br>%{text}<extra></extra>",
        ),
        _accuracy(data.robust, "robust"),
        _accuracy(data.clean, "clean"),
    ]  # fmt: skip


def layout(data: TrainingInfo) -> dict[str, Any]:
    """Returns axes that are the same in every epoch, and a line at the factors' first epoch."""
    epochs = sum(data.planned)
    ticks = {"tick0": 0, "dtick": -(-epochs // 15)}
    made = theme.layout(
        HEIGHT,
        xaxis=theme.axis("epoch", anchor="y2", range=[0.4, epochs + 0.6], **ticks),
        yaxis=theme.axis("loss", domain=[0.58, 1], type="log", nticks=5),
        yaxis2=theme.axis("accuracy (%)", domain=[0, 0.52], range=[0, 102]),
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        margin={"l": 60, "r": 20, "t": 64, "b": 48},
        shapes=_split(data.planned[0]),
    )
    return {"shapes": [], **made.to_plotly_json()}


# -- parts ---------------------------------------------------------------------------------


def _loss(entries: Sequence[EpochRecord], after: int) -> LossLine:
    return LossLine(
        [after + e.number for e in entries],
        [e.loss for e in entries],
        [e.note or "" for e in entries],
    )


def _measured(numbered: Sequence[tuple[int, EpochRecord]], metric: str) -> AccuracyLine:
    found = AccuracyLine([], [], [], [], [])
    for x, entry in numbered:
        validation = entry.validation
        correct = None if validation is None else getattr(validation, f"{metric}_correct")
        if validation is None or correct is None:
            continue
        low, high = getattr(validation, f"{metric}_interval")
        attack = ""
        if metric == "robust" and validation.attack:
            attack = f" under {validation.attack.label}"
        found.x.append(x)
        found.y.append(100 * correct / validation.n)
        found.low.append(100 * low)
        found.high.append(100 * high)
        found.text.append(
            f"{metric} {correct} of {validation.n} held-out images{attack} "
            f"(95 %: {low:.1%} to {high:.1%})"
        )
    return found


def _line(line: LossLine, name: str, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=line.x, y=line.y, text=line.text, name=name, mode="lines+markers", marker={"size": 5},
        line={"color": colour, "dash": dash, "width": 1.5}, showlegend=bool(line.x),
        hovertemplate="epoch %{x}: loss %{y:.3f} %{text}<extra></extra>",
    )  # fmt: skip


def _accuracy(data: AccuracyLine, metric: str) -> go.Scatter:
    colour, symbol, dash = STYLE[metric]
    return go.Scatter(
        x=data.x, y=data.y, text=data.text, name=f"{metric}, held out", mode="lines+markers",
        marker={"symbol": symbol, "size": 7, "color": colour},
        line={"color": colour, "dash": dash, "width": 1.5}, yaxis="y2",
        showlegend=bool(data.x),
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": colour,
            "array": [high - y for high, y in zip(data.high, data.y, strict=True)],
            "arrayminus": [y - low for low, y in zip(data.low, data.y, strict=True)],
        },
        hovertemplate="epoch %{x}: %{y:.1f} %<br>%{text}<extra></extra>",
    )  # fmt: skip


def _split(first: int) -> list[dict[str, Any]]:
    """Returns a vertical line through both subplots before the factors' first epoch."""
    if not first:
        return []
    label = {
        "text": "factorised ", "textposition": "start", "textangle": 0, "xanchor": "right",
        "yanchor": "bottom", "font": {"size": 11},
    }  # fmt: skip
    line = {"color": theme.PURPLE, "width": 1.2, "dash": "dash"}
    place = {"xref": "x", "yref": "paper", "x0": first + 0.5, "x1": first + 0.5, "y0": 0, "y1": 1}
    return [{"type": "line", **place, "line": line, "label": label}]
