"""Layers, the choices for them, their costs, and plans.

Everything here is a value or a pure function; nothing runs a model.
"""

from gdws_explorer.network.plans.choices import GDWS, SVD, Choice, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.cost import LayerSummary, Summary
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import Plan

__all__ = [
    "FAMILIES",
    "GDWS",
    "SVD",
    "Choice",
    "Dense",
    "Layer",
    "LayerSummary",
    "Plan",
    "SpatialSVD",
    "Summary",
    "Tucker2",
]
