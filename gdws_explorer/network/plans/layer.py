"""One layer of a traced network, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdws_explorer.network.plans.families import FAMILIES


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer, as the traced forward pass met it.

    name : its name in the model. kind : its class. weight_shape : `(M, C / groups, …)`.
    in_size, out_size : spatial sizes `(H, W)` at the first call, `()` for a linear layer.
    calls : how often one forward pass uses it.
    in_positions, out_positions : positions per example, summed over the calls; mid_positions :
        output rows by input columns of a 2-D convolution.
    groups : 1 for a linear layer.
    macs, params, bytes : of the dense layer, for one example (MACs over all calls).
    itemsize : bytes of one weight. bias : whether it has one.
    reasons : why a family cannot approximate it, by the family's name.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    calls: int
    in_positions: int
    mid_positions: int
    out_positions: int
    groups: int
    macs: int
    params: int
    bytes: int
    itemsize: int
    bias: bool
    reasons: Mapping[str, str]

    @property
    def families(self) -> tuple[str, ...]:
        """The families that can approximate it."""
        return tuple(name for name in FAMILIES if name not in self.reasons)

    def __str__(self) -> str:
        out, per_group, *kernel = self.weight_shape
        size = "×".join(map(str, kernel))
        return f"{self.name} · {per_group}→{out}" + (f" · {size}" if size else "")
