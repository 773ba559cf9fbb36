"""Views of a session in a notebook: the explorer, its parts, and the panels.

The names below are imported at their first use, because ipywidgets and plotly are slow to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULE_OF = {
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


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
