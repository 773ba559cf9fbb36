"""Error against loss: whether the analytic error foretells what an approximation costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from gdws_explorer.figures import theme
from gdws_explorer.figures.layerwise_curves import (
    LayerwiseInfo,
    bars,
    base,
    drawn_errors,
    gaps,
    level,
    note,
    nothing_yet,
    scale,
    short,
)
from gdws_explorer.figures.pareto_front import STYLE
from gdws_explorer.study.rank_correlation import RankCorrelation


def figure(
    data: LayerwiseInfo,
    said: RankCorrelation,
    chosen: str | None = None,
    metric: str = "robust",
    height: int = 470,
) -> go.Figure:
    """What every step lost over what its error foretold, with Spearman's ρ above."""
    return go.Figure(
        traces(data, chosen, metric),
        base(height).update(layout(data, said, metric)),
    )  # fmt: skip


def traces(data: LayerwiseInfo, chosen: str | None, metric: str) -> list[go.Scatter]:
    """The other layers' steps, and the chosen one's with intervals."""
    colour, symbol, _ = STYLE[metric]
    found = []
    for mine in (False, True):
        lines = [line for line in data.lines if (line.name == chosen) is mine]
        loss = [y for line in lines for y in line.loss[metric]]
        low = [y for line in lines for y in line.loss_low[metric]]
        high = [y for line in lines for y in line.loss_high[metric]]
        trace = go.Scatter(
            x=[x for line in lines for x in drawn_errors(data, line)],
            y=gaps(loss),
            customdata=[line.name for line in lines for _ in line.share],
            text=[text for line in lines for text in line.text],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            name=short(chosen) if mine else "other layers",
            marker={"symbol": f"{symbol}-open", "size": 7, "color": theme.GREY},
        )
        if mine:
            up = [h - y for h, y in zip(high, loss, strict=True)]
            down = [y - b for y, b in zip(loss, low, strict=True)]
            trace.marker = {"symbol": symbol, "size": 10, "color": colour}
            trace.error_y = bars(up, down, colour)
        found.append(trace)
    return found


def layout(data: LayerwiseInfo, said: RankCorrelation, metric: str) -> dict[str, Any]:
    """Axes, the line of no loss, and ρ."""
    lost = [y for line in data.lines for y in line.loss[metric] if not np.isnan(y)]
    ends = [y for x in data.lines for end in (x.loss_low, x.loss_high) for y in end[metric]]
    known = [y for y in (*lost, *ends) if not np.isnan(y)]
    low, high = min([-2.0, *known]), max([6.0, *known])
    return {
        "xaxis": theme.axis(data.axis, **scale(data)),
        "yaxis": theme.axis(
            f"{metric} accuracy lost (points)",
            range=[low - 0.04 * (high - low), high + 0.15 * (high - low)],
        ),
        "shapes": [level(0.0)],
        "annotations": [nothing_yet() if not lost else note(rho_words(said))],
    }  # fmt: skip


def rho_words(said: RankCorrelation) -> str:
    """ρ with its interval, and of how many points."""
    if said.rho is None:
        return "Spearman’s ρ is undefined"
    between = "" if said.interval is None else " (95 %: {:.2f} to {:.2f})".format(*said.interval)
    layers = "1 layer" if said.layers == 1 else f"{said.layers} layers"
    return f"Spearman’s ρ = {said.rho:.2f}{between}<br>{said.n} points, {layers}"
