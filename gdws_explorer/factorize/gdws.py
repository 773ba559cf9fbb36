"""Generalized depthwise-separable (GDWS) approximation of one convolution.

Dbouk & Shanbhag, "Generalized Depthwise-Separable Convolutions for Adversarially Robust and
Efficient Neural Networks", NeurIPS 2021. A kernel `(M, C, Kh, Kw)` is read as C blocks
`W_c` of shape `(M, K²)`; block c is approximated at rank `g_c`, and every singular triplet that
remains is one depthwise kernel. All triplets cost the same, so those of largest weighted energy
are the optimal ones (their theorems 1 and 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of, weight_of
from gdws_explorer.factorize.whitening import RIDGE, whitening_roots
from gdws_explorer.typing import FloatArray, IntArray
from gdws_explorer.utils.checks import checked_bound, checked_rank

CACHED = 1 << 17  # numbers: 1 MB in float64
EXACT = 1e-6  # of the largest eigenvalue: down to here the others have ten correct digits


class GDWSConv2d(nn.Module):
    """Gather, depthwise K×K, pointwise 1×1: a convolution of channel distribution `counts`.

    Parameters
    ----------
    counts : integer tensor `(C,)`, the depthwise kernels of every input channel; their sum is G.
    depthwise : nn.Conv2d with weight `(G, 1, Kh, Kw)`; carries stride, padding and dilation.
    pointwise : nn.Conv2d with weight `(M, G, 1, 1)`; carries the bias.
    """

    index: Tensor

    def __init__(self, counts: Tensor, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> None:
        super().__init__()
        self.in_channels = len(counts)
        self.out_channels = pointwise.out_channels
        channels = torch.arange(len(counts)).repeat_interleave(counts.cpu())
        self.register_buffer("index", channels.to(depthwise.weight.device))
        self.depthwise = depthwise
        self.pointwise = pointwise

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(N, C, H, W)` to `(N, M, H', W')`."""
        return self.pointwise(self.depthwise(input.index_select(-3, self.index)))  # type: ignore[no-any-return]

    @property
    def counts(self) -> Tensor:
        """Number of depthwise kernels of every input channel, `(C,)`."""
        return torch.bincount(self.index, minlength=self.in_channels)

    def dense(self) -> nn.Conv2d:
        """Returns one nn.Conv2d with the same outputs, with the rebuilt kernel `(M, C, Kh, Kw)`."""
        depthwise = self.depthwise.weight.detach()[:, 0]
        pointwise = self.pointwise.weight.detach()[:, :, 0, 0]
        kernel = depthwise.new_zeros(self.out_channels, self.in_channels, *depthwise.shape[1:])
        kernel.index_add_(1, self.index, torch.einsum("mg,gij->mgij", pointwise, depthwise))
        return conv2d(kernel, bias_of(self.pointwise), **geometry_of(self.depthwise))

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, G: int, alpha: Tensor | None = None) -> GDWSConv2d:
        """Returns the best GDWS approximation of a convolution with G depthwise kernels (MEGO).

        alpha : weights `(C,)` of the input channels, None for ones. Raises ModelError, BudgetError.

        Examples
        --------
        >>> GDWSConv2d.from_conv(nn.Conv2d(16, 32, 3, padding=1), G=40).counts.sum()
        tensor(40)
        """
        found = spectrum(conv)
        return found.conv(found.mego(G, alpha))

    def extra_repr(self) -> str:
        """Returns channels and G, for `repr`."""
        return f"{self.in_channels}, {self.out_channels}, G={len(self.index)}"


@dataclass(frozen=True)
class TripletRanking:
    """All triplets of one layer, in order of falling weighted energy.

    channel : input channel of each triplet, `(T,)`.
    error : weighted squared error of the first G triplets, for G = 0 … T, `(T + 1,)`.
    channels : number of input channels.
    """

    channel: IntArray
    error: FloatArray
    channels: int

    @cached_property
    def _falling(self) -> FloatArray:
        return self.error[:0:-1]  # G = T … 1: rising errors

    def cheapest(self, beta: float) -> int:
        """Returns the least G ≥ 1 with an error ≤ beta."""
        dropped = int(np.searchsorted(self._falling, beta, side="right")) - 1
        return len(self.channel) - max(0, dropped)

    def counts(self, kernels: int) -> IntArray:
        """Returns the number of the first `kernels` triplets in every channel, `(C,)`."""
        return np.bincount(self.channel[:kernels], minlength=self.channels)


@dataclass(frozen=True, eq=False)
class GDWSSpectrum:
    """The singular triplets of all blocks of one kernel: all its GDWS approximations.

    weight : the kernel `(M, C, Kh, Kw)`.
    energy : squared singular values of every block, largest first, `(C, R)` with
        R = min(M, K²), float64.
    basis : right singular vectors, `(C, R, K²)`, float64: the depthwise kernels.
    like : the convolution that the weight is from; `conv` takes its geometry and bias.
    dual : factor of `W_c` that gives the pointwise weights, `(C, K², R)`, in a data-aware
        spectrum; energies are then squared errors of the layer's output, and the rows of `basis`
        have length 1 but are not orthogonal. None for `basis` transposed.
    """

    weight: Tensor
    energy: FloatArray
    basis: FloatArray
    like: nn.Conv2d | None = None
    dual: FloatArray | None = None

    @cached_property
    def full(self) -> int:
        """Number of triplets: the G of an exact approximation."""
        return self.energy.size

    @cached_property
    def uniform(self) -> TripletRanking:
        """Ranking by unit weights."""
        return self._rank(self.energy)

    def ranking(self, alpha: Tensor | None = None) -> TripletRanking:
        """Returns the triplets in order of `α_c σ²_{c,i}`; alpha `(C,)`, None for ones."""
        if alpha is None:
            return self.uniform
        return self._rank(self.energy * self._alpha(alpha)[:, None])

    def lego(self, beta: float, alpha: Tensor | None = None) -> Tensor:
        """Returns the counts `(C,)`, int64, of least complexity within an error bound.

        Algorithm 2; at least one kernel always stays. beta : bound on the weighted squared error,
        ≥ 0. alpha : weights `(C,)`, None for ones. Raises BudgetError.
        """
        bound, ranking = checked_bound("beta", beta), self.ranking(alpha)
        return torch.from_numpy(ranking.counts(ranking.cheapest(bound)))

    def mego(self, G: int, alpha: Tensor | None = None) -> Tensor:
        """Returns the counts `(C,)`, int64, of least error with G depthwise kernels.

        Algorithm 1. G : number of kernels, 1 … `full`. (The fraction of `Network.mego` is a share
        of MACs.) alpha : weights `(C,)`, None for ones. Raises BudgetError.
        """
        kernels = checked_rank("G", G, self.full)
        return torch.from_numpy(self.ranking(alpha).counts(kernels))

    def error(self, counts: Tensor, alpha: Tensor | None = None) -> float:
        """Returns the weighted squared error of counts, `Σ_c α_c Σ_{i > g_c} σ²_{c,i}`.

        counts : `(C,)`. alpha : weights `(C,)`, None for ones. Raises BudgetError.
        """
        dropped = ~self._kept(counts)
        scores = self.energy if alpha is None else self.energy * self._alpha(alpha)[:, None]
        # Summed smallest first, as in a ranking: equal choices have equal errors to the bit.
        return float(np.cumsum(np.sort(scores[dropped]))[-1]) if dropped.any() else 0.0

    def kernel(self, counts: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Returns the rebuilt dense kernel `(M, C, Kh, Kw)`, in the weight's type or `dtype`."""
        kept = torch.from_numpy(self.basis * self._kept(counts)[:, :, None])
        blocks = self._blocks()  # (C, M, K²)
        kernel = blocks @ self._dual() @ kept
        like = self.weight
        return kernel.transpose(0, 1).reshape(like.shape).to(like.device, dtype or like.dtype)

    def conv(self, counts: Tensor, like: nn.Conv2d | None = None) -> GDWSConv2d:
        """Returns the approximation as a module.

        counts : `(C,)`. like : a convolution that gives stride, padding, padding_mode, dilation
        and bias; by default the one that the weight is from, else nn.Conv2d's defaults.
        """
        like = like or self.like
        kept = torch.from_numpy(self._kept(counts))
        basis = torch.from_numpy(self.basis)
        depthwise = basis[kept].reshape(-1, 1, *self.weight.shape[2:])
        pointwise = (self._blocks() @ self._dual()).transpose(1, 2)[kept].T
        return GDWSConv2d(
            kept.sum(1),
            conv2d(depthwise.to(self.weight), groups=len(depthwise), **geometry_of(like)),
            conv2d(pointwise[:, :, None, None].to(self.weight), bias_of(like)),
        )

    def _dual(self) -> Tensor:
        """Returns the factor of the blocks for the pointwise weights, `(C, K², R)`."""
        dual = self.basis.transpose(0, 2, 1) if self.dual is None else self.dual
        return torch.from_numpy(dual)

    def _blocks(self) -> Tensor:
        """Returns the blocks of the weight, `(C, M, K²)`."""
        return torch.from_numpy(_blocks(self.weight))

    def _kept(self, counts: Tensor) -> NDArray[np.bool_]:
        """Returns a mask of the triplets that remain, `(C, R)`. Raises BudgetError."""
        channels, rank = self.energy.shape
        numbers = np.asarray(counts)
        if numbers.shape != (channels,) or not np.issubdtype(numbers.dtype, np.integer):
            raise BudgetError(
                f"counts are {numbers.dtype} of shape {numbers.shape}; expected whole numbers of "
                f"shape ({channels},)."
            )
        if numbers.min() < 0 or numbers.max() > rank:
            raise BudgetError(
                f"counts run from {numbers.min()} to {numbers.max()}; expected 0 to {rank} "
                "for every channel."
            )
        if not numbers.any():
            raise BudgetError("counts are all 0; at least one depthwise kernel must stay.")
        return np.arange(rank) < numbers[:, None]

    def _alpha(self, alpha: Tensor) -> FloatArray:
        """Returns checked weights `(C,)`. Raises BudgetError."""
        weights = torch.as_tensor(alpha).detach().cpu().double().numpy()
        channels = len(self.energy)
        if weights.shape != (channels,) or not np.isfinite(weights).all() or (weights < 0).any():
            raise BudgetError(
                f"alpha has shape {weights.shape}; expected {channels} finite numbers ≥ 0, "
                "one for every input channel."
            )
        return weights

    def _rank(self, scores: FloatArray) -> TripletRanking:
        """Returns the triplets in order of falling scores `(C, R)`."""
        channels, rank = scores.shape
        # Stable, so that within a channel ties keep their order and a suffix is dropped.
        order = np.argsort(-scores, axis=None, kind="stable")
        rising = np.cumsum(scores.ravel()[order[::-1]])
        error = np.concatenate([rising[::-1], [0.0]])
        return TripletRanking(order // rank, error, channels)


def spectrum(
    weight: Tensor | nn.Conv2d, moments: Tensor | None = None, *, ridge: float = RIDGE
) -> GDWSSpectrum:
    """Decomposes a kernel `(M, C, Kh, Kw)`, or the weight of an nn.Conv2d.

    moments : second moments `Σ_c` of the input patches of every channel, `(C, K², K²)`; with them
    the blocks are measured in the output, `‖(W_c − Q_c) Σ_c^½‖²` (ours). ridge : see
    `whitening.whitening_roots`.

    One batched symmetric eigenproblem: the C Gram matrices `W_cᵀ W_c` `(K², K²)` in float64.
    Their eigenvalues are the squared singular values, their eigenvectors the depthwise kernels.
    Raises ModelError, and DataError for moments.
    """
    kernel, like = weight_of(weight)
    if moments is not None:
        return _data_aware(kernel, like, moments, ridge)
    # A few channels at a time: their blocks stay in the processor's cache.
    step = max(1, CACHED // kernel[:, 0].numel())
    parts = [_triplets(_blocks(part)) for part in torch.split(kernel, step, dim=1)]
    energy, basis = (np.concatenate(part) for part in zip(*parts, strict=True))
    return GDWSSpectrum(kernel, energy, basis, like)


def _data_aware(
    kernel: Tensor, like: nn.Conv2d | None, moments: Tensor, ridge: float
) -> GDWSSpectrum:
    """Returns the triplets of `W_c S_c`, with kernels multiplied by `S_c⁻¹`."""
    blocks = _blocks(kernel)
    channels, _, area = blocks.shape
    root, inverse = whitening_roots(moments, (channels, area, area), ridge)
    energy, basis = _triplets(blocks @ root)
    depthwise, dual = basis @ inverse, root @ basis.transpose(0, 2, 1)
    # Depthwise kernels of length 1: `S⁻¹` spreads them over decades, too many for float16.
    length = np.linalg.norm(depthwise, axis=2)
    return GDWSSpectrum(
        kernel, energy, depthwise / length[:, :, None], like, dual * length[:, None, :]
    )


def _triplets(blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns energies `(C, R)` and right singular vectors `(C, R, K²)` of `(C, M, K²)`."""
    # numpy's batched solvers start no threads for such small matrices.
    if blocks.shape[1] >= blocks.shape[2]:
        values, vectors = np.linalg.eigh(blocks.transpose(0, 2, 1) @ blocks)
        basis = vectors.transpose(0, 2, 1)[:, ::-1]
        if (values[:, 0] > EXACT * values[:, -1]).all():
            return values[:, ::-1], basis
    else:  # M < K²: a Gram matrix cannot tell tiny singular values from its zero ones
        basis = np.linalg.svd(blocks, full_matrices=False)[2]
    # `‖W_c v‖²` keeps its digits where an eigenvalue has lost them.
    moved = blocks @ basis.transpose(0, 2, 1)
    energy = np.einsum("cmr,cmr->cr", moved, moved)
    order = np.argsort(-energy, axis=1, kind="stable")
    basis = np.take_along_axis(basis, order[:, :, None], axis=1)
    return np.take_along_axis(energy, order, axis=1), basis


def _blocks(weight: Tensor) -> FloatArray:
    """Returns a kernel `(M, C, Kh, Kw)` as C blocks `(C, M, K²)`, float64."""
    # Cast by numpy where it knows the type: torch would start its threads.
    numbers = weight.to("cpu", torch.promote_types(weight.dtype, torch.float32)).numpy()
    blocks = numbers.reshape(*weight.shape[:2], -1).transpose(1, 0, 2)
    return blocks.astype(np.float64, order="C")
