"""A training over its epochs: loss, accuracy, and what the projections towards low rank found.

One figure for all kinds of training, always of the same traces; what a kind does not have is
hidden, its axes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.figures.front import STYLE
from gdws_explorer.training.admm import Rounds
from gdws_explorer.training.course import Course
from gdws_explorer.training.history import Entry

MODES = {1: ("",), 2: (" out", " in")}  # what the ranks of a layer are called
SHARES = [[0.0, "rgba(128,128,128,0.12)"], [0.15, theme.SKY], [1.0, theme.BLUE]]
HEIGHTS = {False: 300, True: 600}  # pixels: without and with the projections


class Line(NamedTuple):
    """x : epochs through both parts. y : its values. text : each in words; None leaves a gap."""

    x: list[float | None]
    y: list[float | None]
    text: list[str]


class Measured(NamedTuple):
    """An accuracy on the held-out images, per cent, with its 95 % Wilson interval."""

    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    text: list[str]


class TrainingInfo(NamedTuple):
    """What is drawn.

    loss : towards low rank, and of the factors. learned : per cent of the images learned from that
    the network had right. clean, robust : on held-out images. residual : ‖W − Z‖ / ‖W‖, one layer
    after the other, None between. rows, shares, ranks : a row for every rank of every layer, and
    of every projection the rank's share of the full one `(rows, E)` and its words. planned :
    epochs of both parts.
    """

    loss: tuple[Line, Line]
    learned: Line
    clean: Measured
    robust: Measured
    residual: Line
    rows: list[str]
    shares: list[list[float]]
    ranks: list[list[str]]
    planned: tuple[int, int]


def info(course: Course | None) -> TrainingInfo:
    """What a training has told so far; of none, empty axes."""
    low, late = ((), ()) if course is None else (course.low_rank, course.factors)
    after = len(low)
    numbered = [(e.number, e) for e in low] + [(after + e.number, e) for e in late]
    rounds = None if course is None else course.rounds
    return TrainingInfo(
        loss=(_loss(low, 0), _loss(late, after)),
        learned=Line(
            [float(x) for x, _ in numbered],
            [100 * e.correct / e.seen for _, e in numbered],
            [f"{e.correct} of {e.seen} right while learning" for _, e in numbered],
        ),
        clean=_measured(numbered, "clean"),
        robust=_measured(numbered, "robust"),
        residual=_residual(rounds),
        rows=_rows(rounds),
        shares=[] if rounds is None else _shares(rounds).tolist(),
        ranks=[] if rounds is None else _words(rounds),
        planned=(0, 1) if course is None else course.planned,
    )


def figure(data: TrainingInfo) -> go.Figure:
    """All of it; `traces` and `layout` bring a live one up to date."""
    return go.Figure(traces(data), layout(data))


def traces(data: TrainingInfo) -> list[Any]:
    """Always as many, in the same order."""
    towards, factors = data.loss
    low = bool(data.planned[0])
    quiet = {"color": theme.GREY, "width": 1.5}
    return [
        _line(towards, "loss towards low rank, penalty included", theme.ORANGE, "dash", "x"),
        _line(factors, "loss of the factors" if low else "loss", theme.VERMILION, "solid", "x"),
        go.Scatter(
            x=data.learned.x, y=data.learned.y, text=data.learned.text, mode="lines",
            name="while learning", line={**quiet, "dash": "dash"}, xaxis="x2", yaxis="y2",
            hovertemplate="epoch %{x}: %{y:.1f} %<br>%{text}<extra></extra>",
        ),
        _accuracy(data.robust, "robust"),
        _accuracy(data.clean, "clean"),
        go.Scatter(
            x=data.residual.x, y=data.residual.y, text=data.residual.text, mode="lines",
            name="‖W − Z‖ / ‖W‖", line={"color": theme.BLUE, "width": 1.2}, opacity=0.8,
            xaxis="x3", yaxis="y3", visible=low, showlegend=False,
            hovertemplate="%{text}<br>after epoch %{x}: %{y:.3f}<extra></extra>",
        ),
        go.Heatmap(
            z=data.shares, y=data.rows, x=list(range(len(data.shares[0]) if data.shares else 0)),
            text=data.ranks, zmin=0, zmax=1, colorscale=SHARES, xaxis="x4", yaxis="y4",
            visible=low, xgap=1, ygap=1, showscale=True,
            colorbar={"thickness": 10, "len": 0.42, "y": 0.21, "tickformat": ".0%",
                      "title": {"text": "of full", "side": "top"}, "outlinewidth": 0},
            hovertemplate="%{y}, after epoch %{x}: %{text}<extra></extra>",
        ),
    ]  # fmt: skip


def layout(data: TrainingInfo) -> dict[str, Any]:
    """Size, axes and the line where the factors begin."""
    first, second = data.planned
    low = bool(first)
    top = [0.6, 1.0] if low else [0.0, 1.0]
    epochs: dict[str, Any] = {"range": [0.4, first + second + 0.6], "dtick": None, "nticks": 8}
    rounds: dict[str, Any] = {"range": [-0.6, first + 0.6], "nticks": 8, "visible": low}
    made = theme.layout(
        HEIGHTS[low],
        xaxis=theme.axis("epoch", domain=[0, 0.45], anchor="y", **epochs),
        yaxis=theme.axis("loss", domain=top, rangemode="tozero"),
        xaxis2=theme.axis("epoch", domain=[0.55, 1], anchor="y2", **epochs),
        yaxis2=theme.axis("accuracy (%)", domain=top, anchor="x2", range=[0, 102]),
        xaxis3=theme.axis("projection after epoch", domain=[0, 0.45], anchor="y3", **rounds),
        yaxis3=theme.axis("‖W − Z‖ / ‖W‖, every layer", domain=[0, 0.42], anchor="x3",
                          rangemode="tozero", visible=low),
        xaxis4=theme.axis("ranks after epoch", domain=[0.55, 1], anchor="y4", **rounds),
        yaxis4=theme.axis("", domain=[0, 0.42], anchor="x4", autorange="reversed", visible=low,
                          type="category", showgrid=False),
        legend={"orientation": "h", "y": 1.04, "x": 0, "yanchor": "bottom"},
        margin={"l": 60, "r": 20, "t": 60, "b": 48},
        shapes=_split(first),
    )  # fmt: skip
    return {"shapes": [], **made.to_plotly_json()}


# -- what is drawn --------------------------------------------------------------------------


def _loss(entries: Sequence[Entry], after: int) -> Line:
    return Line(
        [float(after + e.number) for e in entries],
        [e.loss for e in entries],
        [e.note or "" for e in entries],
    )


def _measured(numbered: Sequence[tuple[int, Entry]], metric: str) -> Measured:
    found = Measured([], [], [], [], [])
    for x, entry in numbered:
        told = entry.validation
        correct = None if told is None else getattr(told, f"{metric}_correct")
        if told is None or correct is None:
            continue
        low, high = getattr(told, f"{metric}_interval")
        attack = f" under {told.attack.label}" if metric == "robust" and told.attack else ""
        found.x.append(float(x))
        found.y.append(100 * correct / told.n)
        found.low.append(100 * low)
        found.high.append(100 * high)
        found.text.append(
            f"{metric} {correct} of {told.n} held-out images{attack} "
            f"(95 %: {low:.1%} to {high:.1%})"
        )
    return found


def _residual(rounds: Rounds | None) -> Line:
    """All layers in one trace: their number is not known when the figure is made."""
    line = Line([], [], [])
    if rounds is None:
        return line
    for name, values in zip(rounds.names, rounds.residual.T, strict=True):
        line.x.extend([*map(float, range(len(values))), None])
        line.y.extend([*values.tolist(), None])
        line.text.extend([name] * (len(values) + 1))
    return line


def _rows(rounds: Rounds | None) -> list[str]:
    if rounds is None:
        return []
    return [f"{name}{mode}" for name in rounds.names for mode in MODES[rounds.full.shape[1]]]


def _flat(rounds: Rounds) -> Any:
    """Ranks as `(rows, E)`."""
    return rounds.ranks.transpose(1, 2, 0).reshape(-1, len(rounds.cost))


def _shares(rounds: Rounds) -> Any:
    """Of the full ranks; a dense layer has all of them."""
    ranks = _flat(rounds)
    return np.where(ranks > 0, ranks / rounds.full.reshape(-1, 1), 1.0)


def _words(rounds: Rounds) -> list[list[str]]:
    full = rounds.full.reshape(-1)
    return [
        [f"{rank} of {most}" if rank else "dense" for rank in row]
        for row, most in zip(_flat(rounds).tolist(), full.tolist(), strict=True)
    ]


def _line(line: Line, name: str, colour: str, dash: str, axis: str) -> go.Scatter:
    return go.Scatter(
        x=line.x, y=line.y, text=line.text, name=name, mode="lines+markers", marker={"size": 5},
        line={"color": colour, "dash": dash, "width": 1.5}, xaxis=axis, showlegend=bool(line.x),
        hovertemplate="epoch %{x}: loss %{y:.3f} %{text}<extra></extra>",
    )  # fmt: skip


def _accuracy(data: Measured, metric: str) -> go.Scatter:
    colour, symbol, dash = STYLE[metric]
    return go.Scatter(
        x=data.x, y=data.y, text=data.text, name=f"{metric}, held out", mode="lines+markers",
        marker={"symbol": symbol, "size": 7, "color": colour},
        line={"color": colour, "dash": dash, "width": 1.5}, xaxis="x2", yaxis="y2",
        showlegend=bool(data.x),
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": colour,
            "array": [high - y for high, y in zip(data.high, data.y, strict=True)],
            "arrayminus": [y - low for low, y in zip(data.low, data.y, strict=True)],
        },
        hovertemplate="epoch %{x}: %{y:.1f} %<br>%{text}<extra></extra>",
    )  # fmt: skip


def _split(first: int) -> list[dict[str, Any]]:
    """Where the factors begin, in both upper pictures."""
    if not first:
        return []
    return [
        {
            "type": "line", "xref": f"x{i}", "yref": f"y{i} domain", "x0": first + 0.5,
            "x1": first + 0.5, "y0": 0, "y1": 1,
            "line": {"color": theme.PURPLE, "width": 1.2, "dash": "dash"},
            "label": {"text": "factorised", "textposition": "start", "textangle": -90,
                      "xanchor": "left", "font": {"size": 11}},
        }
        for i in ("", "2")
    ]  # fmt: skip
