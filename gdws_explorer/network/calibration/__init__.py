"""Measures a network on images: moments of inputs, margin gradients, α, and refitting.

`calibrate` gives the moments for `Network.calibrated`, `refit` solves for the last factors.
"""

from gdws_explorer.network.calibration.alpha import compute_alpha
from gdws_explorer.network.calibration.batchnorm import reestimate_batchnorm
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.calibration.margins import AttackLike, LayerActivations

__all__ = [
    "AttackLike",
    "Calibration",
    "LayerActivations",
    "compute_alpha",
    "reestimate_batchnorm",
]
