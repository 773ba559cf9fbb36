"""What a plan costs and errs by, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdws_explorer.network.choices import Choice


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer under a plan: cost for one example, squared error, and what it was dense."""

    choice: Choice
    macs: int
    params: int
    bytes: int
    error: float
    dense_macs: int
    dense_params: int
    dense_bytes: int
    energy: float

    @property
    def larger(self) -> bool:
        """Whether the choice makes the layer slower (more MACs) or larger than dense."""
        return self.macs > self.dense_macs or self.params > self.dense_params


@dataclass(frozen=True, slots=True)
class Summary:
    """A network under a plan.

    macs : multiply-accumulates for one example. params : of the whole network. bytes : of its
    parameters and buffers. error : squared error of the kernels, summed over the layers.
    relative_error : the same as a fraction of the kernels' squared norms. layers : by name.
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
