"""Second moments of a layer's inputs, measured on images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of one layer, averaged over the images; float64.

    patches : `Σ_p u uᵀ` of every channel's patches u under the kernel, `(C, K², K²)`.
    inputs : the same of the input channels, `(C, C)`, scaled to the patches' trace.
    gradients : `Σ_j` of the margins' gradients g at the output, mean of `g gᵀ` over the
        positions, `(M, M)`.
    positions : of the output, summed over the calls.
    output : squared norm of the output without its bias, summed over the positions.
    """

    patches: Tensor
    inputs: Tensor
    gradients: Tensor
    positions: int
    output: float

    @property
    def sensitivity(self) -> float:
        """Mean squared gradient of the normalised margins with respect to one output number."""
        return float(self.gradients.trace()) / len(self.gradients)

    @property
    def kronecker(self) -> tuple[Tensor, Tensor]:
        """Moments `(C, C)` and `(K², K²)`, the latter of trace 1, in Kronecker form.

        Their Kronecker product approximates the moment of the whole patch.
        """
        space = self.patches.sum(0)
        trace = float(space.trace())
        return self.inputs, space / trace if trace else torch.eye(len(space)).double() / len(space)
