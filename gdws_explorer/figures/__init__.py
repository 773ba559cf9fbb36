"""Plotly figures: in every module, `info(...)` returns the arrays and `figure(info)` draws them.

The names below are imported at their first use, because plotly is slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdws_explorer.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from gdws_explorer.figures.admm_ranks import RanksInfo
    from gdws_explorer.figures.adversarial_images import ImagesInfo
    from gdws_explorer.figures.correlation_scatter import CorrelationInfo
    from gdws_explorer.figures.kernel_comparison import KernelComparisonInfo
    from gdws_explorer.figures.layer_costs import LayerCostsInfo
    from gdws_explorer.figures.layer_figure import LayerInfo
    from gdws_explorer.figures.layerwise_curves import LayerwiseInfo
    from gdws_explorer.figures.pareto_front import FrontInfo
    from gdws_explorer.figures.training_curves import TrainingInfo

_LAZY = {
    "CorrelationInfo": "correlation_scatter",
    "FrontInfo": "pareto_front",
    "ImagesInfo": "adversarial_images",
    "KernelComparisonInfo": "kernel_comparison",
    "LayerInfo": "layer_figure",
    "LayerCostsInfo": "layer_costs",
    "LayerwiseInfo": "layerwise_curves",
    "RanksInfo": "admm_ranks",
    "TrainingInfo": "training_curves",
}
__all__ = [
    "CorrelationInfo",
    "FrontInfo",
    "ImagesInfo",
    "KernelComparisonInfo",
    "LayerCostsInfo",
    "LayerInfo",
    "LayerwiseInfo",
    "RanksInfo",
    "TrainingInfo",
]

__getattr__ = lazy_names(__name__, _LAZY)
