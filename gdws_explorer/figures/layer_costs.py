"""MACs of every layer: chosen and dense."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from gdws_explorer.figures.theme import FAINT, FAMILY_COLOURS, VERMILION, axis, layout
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import family_of
from gdws_explorer.network.plans.plan import Plan


class LayerCostsInfo(NamedTuple):
    """The layers that can be approximated, in the order of the forward pass.

    names : of the layers. dense_macs, macs : per image, dense and chosen. families : of the
    choices. choices : as text.
    """

    names: list[str]
    dense_macs: list[int]
    macs: list[int]
    families: list[str]
    choices: list[str]


def info(network: Network, plan: Plan) -> LayerCostsInfo:
    """Returns the arrays of the figure for a plan."""
    layers = network.summary(plan).layers
    return LayerCostsInfo(
        names=list(layers),
        dense_macs=[s.dense_macs for s in layers.values()],
        macs=[s.macs for s in layers.values()],
        families=[family_of(s.choice) for s in layers.values()],
        choices=[str(s.choice) for s in layers.values()],
    )


def figure(data: LayerCostsInfo) -> go.Figure:
    """Returns bars of the chosen MACs with a line at the dense MACs of every layer.

    A layer that costs more than dense is hatched, with a red outline.
    """
    larger = [m > d for m, d in zip(data.macs, data.dense_macs, strict=True)]
    chosen = go.Bar(
        x=data.names,
        y=data.macs,
        name="chosen",
        marker={
            "color": [FAMILY_COLOURS[f] for f in data.families],
            "line": {"color": [VERMILION if d else FAINT for d in larger], "width": 1.5},
            "pattern": {"shape": ["/" if d else "" for d in larger]},
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
