"""Views of a session in a notebook: the explorer, its parts, and the panels.

The names below are imported at their first use, because ipywidgets and plotly are slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdws_explorer.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from gdws_explorer.widgets.desk import DeskWidget
    from gdws_explorer.widgets.evaluate_bar import EvaluateBar
    from gdws_explorer.widgets.explorer import Explorer
    from gdws_explorer.widgets.export_bar import ExportBar
    from gdws_explorer.widgets.figure import Figure
    from gdws_explorer.widgets.filter_bar import FilterBar
    from gdws_explorer.widgets.front_controls import FrontControls
    from gdws_explorer.widgets.front_view import FrontView
    from gdws_explorer.widgets.layer_view import LayerView
    from gdws_explorer.widgets.toolbar import Toolbar

_LAZY = {
    "DeskWidget": "desk",
    "EvaluateBar": "evaluate_bar",
    "Explorer": "explorer",
    "ExportBar": "export_bar",
    "Figure": "figure",
    "FilterBar": "filter_bar",
    "FrontControls": "front_controls",
    "FrontView": "front_view",
    "LayerView": "layer_view",
    "Toolbar": "toolbar",
}
__all__ = [
    "DeskWidget",
    "EvaluateBar",
    "Explorer",
    "ExportBar",
    "Figure",
    "FilterBar",
    "FrontControls",
    "FrontView",
    "LayerView",
    "Toolbar",
]

__getattr__ = lazy_names(__name__, _LAZY)
