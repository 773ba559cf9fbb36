"""Every layer's cost: dense against chosen, and where GDWS breaks even."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from gdws_explorer.figures.theme import FAINT, FAMILY_COLOURS, VERMILION, axis, layout
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import family_of
from gdws_explorer.network.plans.plan import Plan


class LayersInfo(NamedTuple):
    """One entry per layer that can be approximated, in call order. macs : for one example."""

    names: list[str]
    dense_macs: list[int]
    macs: list[int]
    families: list[str]
    choices: list[str]


def info(network: Network, plan: Plan) -> LayersInfo:
    """What the figure shows, as plain lists."""
    layers = network.summary(plan).layers
    return LayersInfo(
        names=list(layers),
        dense_macs=[s.dense_macs for s in layers.values()],
        macs=[s.macs for s in layers.values()],
        families=[family_of(s.choice) for s in layers.values()],
        choices=[str(s.choice) for s in layers.values()],
    )


def figure(data: LayersInfo) -> go.Figure:
    """Bars of the chosen MACs before an outline of the dense ones: above it is dearer."""
    dearer = [m > d for m, d in zip(data.macs, data.dense_macs, strict=True)]
    chosen = go.Bar(
        x=data.names,
        y=data.macs,
        name="chosen",
        marker={
            "color": [FAMILY_COLOURS[f] for f in data.families],
            "line": {"color": [VERMILION if d else FAINT for d in dearer], "width": 1.5},
            "pattern": {"shape": ["/" if d else "" for d in dearer]},
        },
        customdata=data.choices,
        hovertemplate="%{x}<br>%{customdata}<br>%{y:.4s} MACs<extra></extra>",
    )
    dense = go.Scatter(
        x=data.names,
        y=data.dense_macs,
        mode="markers",
        name="dense (above it, the choice costs more than it saves)",
        marker={"symbol": "line-ew-open", "size": 26, "color": FAMILY_COLOURS["dense"]},
        hovertemplate="%{x}<br>dense: %{y:.4s} MACs<extra></extra>",
    )
    return go.Figure(
        [chosen, dense],
        layout(
            320,
            xaxis=axis("layer"),
            yaxis=axis("MACs per image", rangemode="tozero", exponentformat="SI"),
            legend={"orientation": "h", "y": 1.16},
            bargap=0.35,
        ),
    )
