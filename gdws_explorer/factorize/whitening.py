"""Square roots of second moments, which turn errors of weights into errors of outputs.

With inputs of second moment Σ the expected squared error of an output is `tr((W − Q) Σ (W − Q)ᵀ)
= ‖(W − Q) S‖²` for any root `Σ = S Sᵀ`: truncating `W S` and multiplying by `S⁻¹` is the best
approximation in that metric. Ours; the idea is that of data-aware low-rank compression (Zhang et
al., "Accelerating very deep convolutional networks", TPAMI 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gdws_explorer.errors import DataError
from gdws_explorer.typing import FloatArray

RIDGE = 1e-6  # of a channel's mean eigenvalue, added to all of them
DEAD = 1e-6  # fraction of the mean channel: smaller channels get the ridge of this fraction


def whitening_roots(
    moments: Tensor, shape: tuple[int, ...], ridge: float = RIDGE
) -> tuple[FloatArray, FloatArray]:
    """Returns `S` and `S⁻¹` of every moment, `(…, n, n)` float64 each, with `S Sᵀ = Σ + ridge`.

    moments : symmetric, positive semidefinite, `shape`. A batch of one matrix per channel, or a
    single matrix. ridge : added to the eigenvalues, as a fraction of their mean, so that the root
    is invertible in directions without data. Raises DataError for other moments.
    """
    numbers = moments.detach().double().cpu().numpy()
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise DataError(
            f"the moments have shape {numbers.shape}; expected finite numbers of shape {shape}."
        )
    values, vectors = np.linalg.eigh((numbers + numbers.swapaxes(-1, -2)) / 2)
    values = np.maximum(values, 0.0)  # rounding
    mean = values.mean(-1, keepdims=True)
    least = DEAD * float(mean.mean()) or 1.0  # if all inputs are zero, any metric is as good
    values = values + ridge * np.maximum(mean, least)
    scale = np.sqrt(values)
    return vectors * scale[..., None, :], (vectors / scale[..., None, :]).swapaxes(-1, -2)


class WhiteningRoots(NamedTuple):
    """Roots of the moments of a layer's inputs, `(C, C)` and `(K², K²)`, and their inverses."""

    channels: Tensor
    channels_inverse: Tensor
    space: Tensor
    space_inverse: Tensor

    @classmethod
    def of(
        cls, moments: tuple[Tensor, Tensor], shape: Sequence[int], ridge: float = RIDGE
    ) -> WhiteningRoots:
        """Returns the roots of moments `(C, C)` and `(K², K²)` for a kernel of this shape."""
        _, channels, *kernel = shape
        area = math.prod(kernel)
        pairs = (
            whitening_roots(moments[0], (channels, channels), ridge),
            whitening_roots(moments[1], (area, area), ridge),
        )
        return cls(*(torch.from_numpy(part) for pair in pairs for part in pair))

    def applied(self, kernel: Tensor) -> Tensor:
        """Returns the kernel `(M, C, Kh, Kw)` times both roots: its action on whitened inputs."""
        moved = torch.einsum("mck,cd,kl->mdl", kernel.flatten(2), self.channels, self.space)
        return moved.reshape(kernel.shape)
