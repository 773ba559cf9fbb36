"""MACs, parameters and bytes of a layer under a choice, by formula.

MACs are multiply-accumulates for one example, over all calls of the layer; FLOPs are twice that.
Bytes count weights, bias and, for GDWS, the gather index of 8 bytes per kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gdws_explorer.network.plans.choices import (
    GDWS,
    SVD,
    Choice,
    Dense,
    SpatialSVD,
    Tucker2,
)
from gdws_explorer.network.plans.layer import Layer

INDEX_BYTES = 8
FASTER = 1 - 1e-9  # of the dense time; less is faster, and not only differently rounded


class Cost(NamedTuple):
    """MACs, parameters and bytes of a layer: whole numbers, or arrays for arrays of ranks."""

    macs: Any
    params: Any
    bytes: Any


def cost(layer: Layer, choice: Choice) -> Cost:
    """Returns the cost of a layer under a choice."""
    match choice:
        case GDWS(G, _):
            return gdws_cost(layer, G)
        case Tucker2(r_out, r_in):
            return tucker2_cost(layer, r_out, r_in)
        case SVD(rank):
            return svd_cost(layer, rank)
        case SpatialSVD(rank):
            return spatial_cost(layer, rank)
    return Cost(layer.macs, layer.params, layer.bytes)


def gdws_cost(layer: Layer, kernels: Any) -> Cost:
    """Returns the cost of GDWS: G·(K² + M) weights, each used once per output position.

    Source: Dbouk & Shanbhag, section 3.
    """
    out, _, *kernel = layer.weight_shape
    weights = kernels * (math.prod(kernel) + out)
    params = weights + layer.bias * out
    return Cost(
        weights * layer.out_positions, params, params * layer.itemsize + INDEX_BYTES * kernels
    )


def tucker2_cost(layer: Layer, r_out: Any, r_in: Any) -> Cost:
    """Returns the cost of Tucker-2.

    C·r_in weights are used at every input position, K²·r_in·r_out + r_out·M at every output one.
    """
    out, channels, *kernel = layer.weight_shape
    first = channels * r_in
    rest = math.prod(kernel) * r_in * r_out + r_out * out
    params = first + rest + layer.bias * out
    macs = first * layer.in_positions + rest * layer.out_positions
    return Cost(macs, params, params * layer.itemsize)


def svd_cost(layer: Layer, rank: Any) -> Cost:
    """Returns the cost of channel SVD: r·(C·K² + M) weights, r per group.

    Each weight is used once per output position.
    """
    out, per_group, *kernel = layer.weight_shape
    weights = rank * (per_group * layer.groups * math.prod(kernel) + out)
    params = weights + layer.bias * out
    return Cost(weights * layer.out_positions, params, params * layer.itemsize)


def spatial_cost(layer: Layer, rank: Any) -> Cost:
    """Returns the cost of spatial SVD.

    r·C·Kh weights are used at every output row and input column, r·M·Kw at every output position.
    """
    out, channels, height, width = layer.weight_shape
    first, last = rank * channels * height, rank * out * width
    params = first + last + layer.bias * out
    macs = first * layer.mid_positions + last * layer.out_positions
    return Cost(macs, params, params * layer.itemsize)


def break_even(layer: Layer) -> int:
    """Returns the largest G at which GDWS has fewer MACs than the dense layer, or 0."""
    unit = gdws_cost(layer, 1).macs
    return int((layer.macs - 1) // unit)


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer under a plan: its choice, costs for one example, squared error and dense costs.

    energy : squared norm of the dense weight, or of the output where errors are taken there.
    ms, dense_ms : measured milliseconds of a batch; None where no times were measured.
    """

    choice: Choice
    macs: int
    params: int
    bytes: int
    error: float
    dense_macs: int
    dense_params: int
    dense_bytes: int
    energy: float
    ms: float | None = None
    dense_ms: float | None = None

    @property
    def larger(self) -> bool:
        """Whether the choice makes the layer slower (more MACs) or larger than dense."""
        return self.macs > self.dense_macs or self.params > self.dense_params

    @property
    def slower(self) -> bool:
        """Whether the measured time of the choice is not less than that of the dense layer."""
        if self.ms is None or self.dense_ms is None or self.choice == Dense():
            return False
        return self.ms >= self.dense_ms * FASTER


@dataclass(frozen=True, slots=True)
class Summary:
    """Costs and error of a network under a plan.

    macs : multiply-accumulates for one example. params : of the whole network. bytes : of its
    parameters and buffers. error : squared error of the kernels, summed over the layers.
    relative_error : the error as a fraction of the kernels' squared norms. layers : by name.
    ms, dense_ms : milliseconds of a batch, from the network's measured times; None without any.
    uncounted : as in Network, modules with operations that are not in the MACs.
    """

    macs: int
    params: int
    bytes: int
    error: float
    relative_error: float
    dense_macs: int
    dense_params: int
    dense_bytes: int
    layers: Mapping[str, LayerSummary]
    ms: float | None = None
    dense_ms: float | None = None
    uncounted: tuple[str, ...] = ()
