"""Colours and layout of all figures: Okabe-Ito, readable on light and on dark pages."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

# Okabe & Ito, "Color Universal Design" (2008). Shapes and dashes differ with the colours.
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#767676"  # 4.5:1 against white and against black
GRID = "rgba(128,128,128,0.22)"
FAINT = "rgba(128,128,128,0.35)"

FAMILY_COLOURS = {
    "dense": GREY, "gdws": BLUE, "tucker2": ORANGE, "svd": GREEN, "spatial": PURPLE,
}  # fmt: skip
ERROR = [[0.0, "#0072B2"], [0.45, "#56B4E9"], [0.8, "#E69F00"], [1.0, "#D55E00"]]

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "displayModeBar": "hover",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}


def layout(height: int, **more: Any) -> go.Layout:
    """Returns a transparent layout without a template.

    height : pixels. more : other attributes of the layout.
    """
    base: dict[str, Any] = {
        "template": "none",
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        "margin": {"l": 60, "r": 20, "t": 36, "b": 48},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "uirevision": "keep",
    }
    return go.Layout(**{**base, **more})


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Returns an axis with a title and faint grid lines. more : other attributes."""
    base: dict[str, Any] = {
        "title": {"text": title},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": FAINT,
        "showline": True,
        "ticks": "outside",
        "tickcolor": FAINT,
        "automargin": True,
    }
    return {**base, **more}
