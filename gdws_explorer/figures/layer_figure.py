"""One layer under one choice: the picture that suits its family, all in one figure.

A live view keeps one figure and shows the picture it needs: the triplets of GDWS ("cells"), the
error table of Tucker-2 ("grid"), or the errors of an SVD by rank ("curve").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from gdws_explorer.figures import layer_parts, theme
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, family_of, ranks_of
from gdws_explorer.network.plans.families import FAMILIES

# Where each picture's traces stand in the figure, and the axes they are drawn on.
TRACES = {"cells": (0, 1), "grid": (2, 3), "curve": (4, 5)}
AXES = {"cells": ("x", "y"), "grid": ("x3", "y3"), "curve": ("x4", "y4")}


def shown_family(network: Network, name: str, choice: Choice) -> str:
    """The family whose picture is shown: a dense layer has that of its first family, all kept."""
    return network.layer(name).families[0] if isinstance(choice, Dense) else family_of(choice)


def picture(one: str) -> str:
    """The picture of a family: "cells", "grid" or "curve"."""
    return {"gdws": "cells", "tucker2": "grid"}.get(one, "curve")


def traces(network: Network, name: str, one: str) -> list[Any]:
    """The traces of a layer's picture in a family, in the order of TRACES."""
    spectrum = network.spectrum(name, one)
    most = FAMILIES[one].most(spectrum)
    return [*_DRAWN[picture(one)][0](_info(network, name, FAMILIES[one].choice(*most)))]


def shapes(network: Network, name: str, choice: Choice) -> list[dict[str, Any]]:
    """What the choice is, above the traces."""
    one = shown_family(network, name, choice)
    if isinstance(choice, Dense):
        choice = FAMILIES[one].choice(*FAMILIES[one].most(network.spectrum(name, one)))
    x, y = AXES[picture(one)]
    place = {"xref": x, "yref": y}
    return [place | shape for shape in _DRAWN[picture(one)][1](_info(network, name, choice))]


def figure(network: Network, name: str, choice: Choice, height: int = 300) -> go.Figure:
    """All pictures in one figure, of which the layer's own is shown; the others wait, empty."""
    one = shown_family(network, name, choice)
    wanted = picture(one)
    filled = {**_waiting(), wanted: traces(network, name, one)}
    places = [("x", "y"), ("x2", "y2"), *[AXES["grid"]] * 2, *[AXES["curve"]] * 2]
    made = [trace for each in TRACES for trace in filled[each]]
    for i, (trace, (x, y)) in enumerate(zip(made, places, strict=True)):
        trace.update(xaxis=x, yaxis=y, visible=i in TRACES[wanted])
    legend = {"orientation": "h", "y": 1.15}
    drawn = go.Figure(made, theme.layout(height, legend=legend))
    return drawn.update_layout(axes(wanted), shapes=shapes(network, name, choice))


def axes(wanted: str) -> dict[str, Any]:
    """The layout when a picture is shown: the other pictures' axes are hidden."""
    cells, grid, curve = (wanted == each for each in TRACES)
    return {
        "showlegend": curve,
        "xaxis": theme.axis("input channel c", domain=[0.0, 0.58], visible=cells),
        "yaxis": theme.axis("triplet i", autorange="reversed", visible=cells),
        "xaxis2": {"visible": False, "domain": [0.62, 1.0], "anchor": "y2"},
        "yaxis2": {
            "visible": False, "autorange": "reversed", "scaleanchor": "x2", "anchor": "x2",
        },
        "xaxis3": theme.axis("r_in: input rank", domain=[0.0, 0.92], anchor="y3", visible=grid),
        "yaxis3": theme.axis("r_out: output rank", anchor="x3", visible=grid),
        "xaxis4": theme.axis("rank", anchor="y4", visible=curve),
        "yaxis4": theme.axis("share", anchor="x4", visible=curve, tickformat=".0%",
                             rangemode="tozero"),
    }  # fmt: skip


_DRAWN: dict[str, tuple[Any, Any]] = {
    "cells": (layer_parts.spectrum_traces, layer_parts.spectrum_shapes),
    "grid": (layer_parts.grid_traces, layer_parts.grid_shapes),
    "curve": (layer_parts.curve_traces, layer_parts.curve_shapes),
}


def _info(network: Network, name: str, choice: Choice) -> Any:
    """The arrays of a choice's picture."""
    one = family_of(choice)
    spectrum = network.spectrum(name, one)
    if isinstance(choice, GDWS):
        return layer_parts.spectrum_info(spectrum, network.counts(name, choice).numpy())
    layer = network.layer(name)
    if one == "tucker2":
        return layer_parts.grid_info(layer, spectrum, *ranks_of(choice))
    return layer_parts.curve_info(layer, one, spectrum, *ranks_of(choice))


def _waiting() -> dict[str, list[Any]]:
    """The traces of every picture, styled, with next to nothing in them."""
    cell, rank = np.zeros((1, 1)), np.ones(1, dtype=np.int64)
    kept = np.ones((1, 1), dtype=bool)
    return {
        "cells": layer_parts.spectrum_traces(
            layer_parts.SpectrumInfo(cell, kept, cell[None], kept[0])
        ),
        "grid": layer_parts.grid_traces(layer_parts.GridInfo(cell, cell, rank, rank, 1, 1)),
        "curve": layer_parts.curve_traces(layer_parts.CurveInfo(cell[0], cell[0], 1)),
    }
