"""The scale of the network-wide budget: position of a slider, number, weights of layers."""

from __future__ import annotations

import math
from typing import Literal

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan

WEIGHINGS = ("relative", "squared")


def budget_weights(network: Network, weighing: str) -> Literal["relative"] | None:
    """Returns the layers' weights of a budget; those of a calibrated network are its own."""
    return "relative" if weighing == "relative" and network.calibration is None else None


NETWORK_MEANINGS = ("macs", "params", "ms", "error", "beta", "alpha")
FRACTIONS = ("macs", "params", "ms")  # of the dense network's
RULES = ("beta", "alpha")  # one bound for every layer, as in the paper
DECADES = 5.0  # of squared error, from the kernel's whole energy downwards


def network_number(network: Network, by: str, position: float) -> float:
    """Returns the budget at a position of the network's slider, from 0 to 1.

    "macs", "params", "ms": the fraction of the dense network's. "error": a fraction of the kernels'
    squared norms. "beta", "alpha": one squared error for every layer, as in the paper; for "alpha"
    the network is one that weighs errors by α (`Network.weighted`).
    """
    clipped = min(1.0, max(0.0, position))
    if by in FRACTIONS:
        return clipped
    share = 10.0 ** (-DECADES * clipped)
    return float(share * network.most_error() if by in RULES else share)


def network_position(network: Network, by: str, number: float) -> float:
    """Returns the position of a budget; the inverse of `network_number`."""
    if by in FRACTIONS:
        return min(1.0, max(0.0, number))
    share = number / network.most_error() if by in RULES else number
    return min(1.0, max(0.0, -math.log10(share) / DECADES)) if share > 0 else 1.0


def network_share(network: Network, plan: Plan, summary: Summary, by: str) -> float:
    """Returns the budget that a plan satisfies: the number that `network_position` takes."""
    if by == "macs":
        return summary.macs / summary.dense_macs
    if by == "ms":
        return 1.0 if summary.ms is None else summary.ms / (summary.dense_ms or summary.ms)
    if by == "params":
        return summary.params / summary.dense_params
    return network.beta_of(plan) if by in RULES else summary.relative_error
