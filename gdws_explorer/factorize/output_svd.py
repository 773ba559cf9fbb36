"""Channel SVD measured in a layer's output instead of in its weights (ours).

With roots of the inputs' moments, `Σ = S Sᵀ`, the squared error of the output is `‖(W − Q) S‖²`:
see `factorize.moments`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.factorize.geometry import one_thread, rank_of, weight_of
from gdws_explorer.factorize.moments import RIDGE, Roots
from gdws_explorer.factorize.svd import SVDSpectrum, matrices_of


@dataclass(frozen=True, eq=False)
class OutputSVDSpectrum(SVDSpectrum):
    """Channel SVD of a convolution without groups.

    back : the roots of its inputs' moments. The kernel times the roots is what is decomposed:
    `U Uᵀ W S` is nearest to `W S`, so `U` and `Uᵀ W` are the two layers.
    """

    back: Roots

    def _factors(self, rank: int) -> tuple[Tensor, Tensor]:
        left = self._vectors[:, :, : rank_of("rank", rank, self.full)]
        return left, left.mT @ matrices_of(self)

    @cached_property
    def _vectors(self) -> Tensor:
        moved = _moved(self.weight, self.back)
        with one_thread():
            vectors: Tensor = torch.linalg.eigh(moved @ moved.mT).eigenvectors
            return vectors.flip(2)


def output_spectrum(
    conv: nn.Conv2d, moments: tuple[Tensor, Tensor], *, ridge: float = RIDGE
) -> OutputSVDSpectrum:
    """The spectrum of a convolution without groups.

    moments, ridge : as `tucker.spectrum` takes them. Errors: ModelError, DataError.
    """
    weight, like = weight_of(conv)
    back = Roots.of(moments, weight.shape, ridge)
    moved = _moved(weight, back)
    bare = OutputSVDSpectrum(weight, np.empty((0, 0)), like, back)
    energy = (bare._vectors.mT @ moved).square().sum(2)[:, : min(moved.shape[1:])]
    return replace(bare, energy=energy.numpy())


def _moved(weight: Tensor, back: Roots) -> Tensor:
    """The kernel times the roots, `(1, M, C·K²)`."""
    return back.applied(weight.cpu().double()).flatten(1)[None]
