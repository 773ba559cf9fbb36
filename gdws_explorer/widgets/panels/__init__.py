"""Panels that the panel bar opens; each has a title, a tip and a box, and follows events.

The names below are imported at their first use, because plotly is slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdws_explorer.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from gdws_explorer.widgets.panels.custom_model_panel import CustomModelPanel
    from gdws_explorer.widgets.panels.masking_panel import MaskingPanel
    from gdws_explorer.widgets.panels.panel_bar import Panel, PanelBar
    from gdws_explorer.widgets.panels.pins_panel import PinsPanel
    from gdws_explorer.widgets.panels.record_filter_view import RecordFilterView
    from gdws_explorer.widgets.panels.sensitivity_panel import SensitivityPanel
    from gdws_explorer.widgets.panels.sweep_search_panel import SweepSearchPanel
    from gdws_explorer.widgets.panels.train_panel import TrainPanel

_LAZY = {
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

__getattr__ = lazy_names(__name__, _LAZY)
