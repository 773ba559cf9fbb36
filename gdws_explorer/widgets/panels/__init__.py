"""Panels that the panel bar opens; each has a title, a tip and a box, and follows events.

The names below are imported at their first use, because plotly is slow to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdws_explorer.widgets.panels.custom_model_panel import CustomModelPanel
    from gdws_explorer.widgets.panels.masking_panel import MaskingPanel
    from gdws_explorer.widgets.panels.panel_bar import Panel, PanelBar
    from gdws_explorer.widgets.panels.pins_panel import PinsPanel
    from gdws_explorer.widgets.panels.record_filter_view import RecordFilterView
    from gdws_explorer.widgets.panels.sensitivity_panel import SensitivityPanel
    from gdws_explorer.widgets.panels.sweep_search_panel import SweepSearchPanel
    from gdws_explorer.widgets.panels.train_panel import TrainPanel

_MODULE_OF = {
    "CustomModelPanel": "custom_model_panel",
    "MaskingPanel": "masking_panel",
    "Panel": "panel_bar",
    "PanelBar": "panel_bar",
    "PinsPanel": "pins_panel",
    "RecordFilterView": "record_filter_view",
    "SensitivityPanel": "sensitivity_panel",
    "SweepSearchPanel": "sweep_search_panel",
    "TrainPanel": "train_panel",
}
__all__ = [
    "CustomModelPanel",
    "MaskingPanel",
    "Panel",
    "PanelBar",
    "PinsPanel",
    "RecordFilterView",
    "SensitivityPanel",
    "SweepSearchPanel",
    "TrainPanel",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
