"""One layer under one choice, drawn in the way that suits its family.

The views are "cells" (the triplets of GDWS), "grid" (the error table of Tucker-2) and "curve" (the
errors of an SVD by rank). One figure holds the traces of all three and shows one of them, so that
a live figure changes its view without new traces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from gdws_explorer.figures import layer_parts, theme
from gdws_explorer.figures.layer_parts import CurveInfo, GridInfo, SpectrumInfo
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, family_of, ranks_of
from gdws_explorer.network.plans.families import FAMILIES

# The indices of each view's traces in the figure, and the axes of its shapes.
TRACES = {"cells": (0, 1), "grid": (2, 3), "curve": (4, 5)}
AXES = {"cells": ("x", "y"), "grid": ("x3", "y3"), "curve": ("x4", "y4")}


class LayerInfo(NamedTuple):
    """One layer's approximations in one family, and the chosen ranks.

    family : whose view is shown. arrays : what is drawn; its type is that of the view.
    spectrum : the layer's in the family.
    """

    family: str
    arrays: SpectrumInfo | GridInfo | CurveInfo
    spectrum: Any = None

    @property
    def view(self) -> str:
        """The name of the view: "cells", "grid" or "curve"."""
        return view_of(self.family)


def view_of(family: str) -> str:
    """Returns the view of a family: "cells", "grid" or "curve"."""
    return {"gdws": "cells", "tucker2": "grid"}.get(family, "curve")


def shown_family(network: Network, name: str, choice: Choice) -> str:
    """Returns the family whose view is shown: of a dense layer, the first one that it has."""
    return network.layer(name).families[0] if isinstance(choice, Dense) else family_of(choice)


def info(network: Network, name: str, choice: Choice) -> LayerInfo:
    """Returns the arrays of the figure.

    Parameters
    ----------
    network : Network
        Whose spectra are used.
    name : str
        The layer.
    choice : Choice
        Its approximation. A dense layer is drawn with all ranks of its first family.

    Returns
    -------
    LayerInfo
    """
    network.error(name, choice)  # raises for ranks out of range
    family = shown_family(network, name, choice)
    layer, spectrum = network.layer(name), network.spectrum(name, family)
    most = FAMILIES[family].most(spectrum)
    arrays: SpectrumInfo | GridInfo | CurveInfo
    if family == "gdws":
        arrays = layer_parts.spectrum_info(spectrum, spectrum.uniform.counts(*most))
    elif family == "tucker2":
        arrays = layer_parts.grid_info(layer, spectrum, *most)
    else:
        arrays = layer_parts.curve_info(layer, family, spectrum, *most)
    return with_choice(LayerInfo(family, arrays, spectrum), choice)


def with_choice(data: LayerInfo, choice: Choice) -> LayerInfo:
    """Returns the same figure for other ranks of the same layer in the same family.

    The large arrays are shared. choice : a dense layer is drawn with all ranks.
    """
    ranks = ranks_of(choice) or FAMILIES[data.family].most(data.spectrum)
    match data.arrays:
        case SpectrumInfo() as cells:
            weighted = choice.counts if isinstance(choice, GDWS) else None
            counts = data.spectrum.uniform.counts(*ranks) if weighted is None else weighted
            return data._replace(arrays=cells.keeping(np.asarray(counts)))
        case GridInfo() as grid:
            return data._replace(arrays=grid._replace(r_out=ranks[0], r_in=ranks[1]))
        case CurveInfo() as curve:
            return data._replace(arrays=curve._replace(rank=ranks[0]))


def traces(data: LayerInfo) -> list[Any]:
    """Returns the two traces of the layer's view; they do not depend on the chosen ranks."""
    match data.arrays:
        case SpectrumInfo():
            return [*layer_parts.spectrum_traces(data.arrays)]
        case GridInfo():
            return [*layer_parts.grid_traces(data.arrays)]
        case CurveInfo():
            return [*layer_parts.curve_traces(data.arrays)]


def shapes(data: LayerInfo) -> list[dict[str, Any]]:
    """Returns the shapes that show the chosen ranks, on the axes of the view."""
    match data.arrays:
        case SpectrumInfo():
            found = layer_parts.spectrum_shapes(data.arrays)
        case GridInfo():
            found = layer_parts.grid_shapes(data.arrays)
        case CurveInfo():
            found = layer_parts.curve_shapes(data.arrays)
    x, y = AXES[data.view]
    return [{"xref": x, "yref": y} | shape for shape in found]


def figure(data: LayerInfo, height: int = 300) -> go.Figure:
    """Returns a figure with the traces of all views; only those of the layer's view are visible."""
    filled = {**_empty_traces(), data.view: traces(data)}
    axes_of = [("x", "y"), ("x2", "y2"), *[AXES["grid"]] * 2, *[AXES["curve"]] * 2]
    made = [trace for view in TRACES for trace in filled[view]]
    for i, (trace, (x, y)) in enumerate(zip(made, axes_of, strict=True)):
        trace.update(xaxis=x, yaxis=y, visible=i in TRACES[data.view])
    legend = {"orientation": "h", "y": 1.15}
    drawn = go.Figure(made, theme.layout(height, legend=legend))
    return drawn.update_layout(axes(data.view), shapes=shapes(data))


def axes(view: str) -> dict[str, Any]:
    """Returns the layout of a view: the axes of the other views are hidden."""
    cells, grid, curve = (view == each for each in TRACES)
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


def _empty_traces() -> dict[str, list[Any]]:
    """Returns the traces of every view, styled, with a single value each."""
    cell, rank = np.zeros((1, 1)), np.ones(1, dtype=np.int64)
    kept = np.ones((1, 1), dtype=bool)
    empty = (
        LayerInfo("gdws", SpectrumInfo(cell, kept, cell[None], kept[0], rank - 1, rank - 1)),
        LayerInfo("tucker2", GridInfo(cell, cell, rank, rank, 1, 1)),
        LayerInfo("svd", CurveInfo(cell[0], cell[0], 1)),
    )
    return {data.view: traces(data) for data in empty}
