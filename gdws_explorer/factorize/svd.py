"""SVD approximations of a convolution or linear layer: two layers in a row instead of one.

Channel SVD keeps the spatial size of the kernel: K×K to r channels, then 1×1 to M (Zhang et al.,
"Accelerating Very Deep Convolutional Networks", 2016, without their data). Spatial SVD splits
it: Kh×1 to r channels, then 1×Kw to M (Jaderberg et al., "Speeding up Convolutional Neural
Networks with Low Rank Expansions", BMVC 2014, scheme 2). Of a 1×1 convolution or a linear layer,
the channel SVD is the plain SVD. By Eckart and Young each is the best approximation of its rank.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from gdws_explorer.errors import ModelError
from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of, weight_of
from gdws_explorer.factorize.whitening import RIDGE, WhiteningRoots
from gdws_explorer.typing import FloatArray
from gdws_explorer.utils.checks import checked_rank
from gdws_explorer.utils.threads import one_thread

Kind = TypeVar("Kind", bound="MatrixSpectrum")
# From this size on only eigenvalues of the Gram matrix are computed until a layer is built.
LARGE = 600


class FactorizedPair(nn.Module):
    """Two layers in a row, of which the last one carries the bias; base class."""

    def __init__(self, first: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.last = last

    def forward(self, input: Tensor) -> Tensor:
        """Maps inputs as the layer that it replaces."""
        return self.last(self.first(input))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Returns the rank, for `repr`."""
        weight = self.first.weight
        assert isinstance(weight, Tensor)
        return f"rank={len(weight) // getattr(self.first, 'groups', 1)}"


class SVDConv2d(FactorizedPair):
    """K×K to r channels per group, with stride, padding and dilation, then 1×1 to M."""

    first: nn.Conv2d
    last: nn.Conv2d

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, rank: int) -> SVDConv2d:
        """Returns the best approximation of a convolution at this rank per group.

        Raises ModelError, BudgetError.
        """
        made = spectrum(conv).conv(rank)
        assert isinstance(made, cls)
        return made

    def dense(self) -> nn.Conv2d:
        """Returns one nn.Conv2d with the same outputs, with the rebuilt kernel."""
        groups = self.first.groups
        first = self.first.weight.detach()
        last = self.last.weight.detach()[:, :, 0, 0]
        kernel = torch.einsum(
            "gmr,grchw->gmchw",
            last.reshape(groups, -1, *last.shape[1:]),
            first.reshape(groups, -1, *first.shape[1:]),
        ).flatten(0, 1)
        return conv2d(kernel, bias_of(self.last), groups=groups, **geometry_of(self.first))


class SpatialSVDConv2d(FactorizedPair):
    """Kh×1 to r channels with the vertical geometry, then 1×Kw to M with the horizontal one."""

    first: nn.Conv2d
    last: nn.Conv2d

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, rank: int) -> SpatialSVDConv2d:
        """Returns the best approximation of a convolution at this rank.

        Raises ModelError, BudgetError.
        """
        made = spatial_spectrum(conv).conv(rank)
        assert isinstance(made, cls)
        return made

    def dense(self) -> nn.Conv2d:
        """Returns one nn.Conv2d with the same outputs, with the rebuilt kernel."""
        first = self.first.weight.detach()[:, :, :, 0]
        last = self.last.weight.detach()[:, :, 0]
        kernel = torch.einsum("mrj,rci->mcij", last, first)
        vertical, horizontal = geometry_of(self.first), geometry_of(self.last)
        geometry = {
            key: value if isinstance(value, str) else (value[0], horizontal[key][1])
            for key, value in vertical.items()
        }
        return conv2d(kernel, bias_of(self.last), **geometry)


class SVDLinear(FactorizedPair):
    """A linear layer from C to r, then one from r to M."""

    first: nn.Linear
    last: nn.Linear

    @classmethod
    def from_linear(cls, layer: nn.Linear, rank: int) -> SVDLinear:
        """Returns the best approximation of a linear layer at this rank.

        Raises ModelError, BudgetError.
        """
        made = spectrum(layer).conv(rank)
        assert isinstance(made, cls)
        return made

    def dense(self) -> nn.Linear:
        """Returns one nn.Linear with the same outputs."""
        return linear(self.last.weight.detach() @ self.first.weight.detach(), self.last.bias)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Returns an nn.Linear with this `weight` `(M, C)` and `bias` `(M,)`; draws no numbers."""
    layer = skip_init(  # type: ignore[no-untyped-call]
        nn.Linear,
        weight.shape[1],
        weight.shape[0],
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


@dataclass(frozen=True, eq=False)
class MatrixSpectrum(ABC):
    """The SVD of the matrices `(g, p, q)` that a weight is read as, one per group.

    weight : `(M, C / g, Kh, Kw)`, or `(M, C)` of a linear layer.
    energy : squared singular values, largest first, `(g, R)` with R = min(p, q), float64.
    like : the layer that the weight is from; `conv` takes its geometry and bias.
    """

    weight: Tensor
    energy: FloatArray
    like: nn.Conv2d | nn.Linear | None

    @property
    def full(self) -> int:
        """Rank of an exact approximation."""
        return int(self.energy.shape[1])

    @cached_property
    def errors(self) -> FloatArray:
        """Squared error at rank r of every group, at `[r - 1]`, `(R,)`."""
        tails = np.cumsum(self.energy.sum(0)[:0:-1])[::-1]
        return np.append(tails, 0.0)

    def error(self, rank: int) -> float:
        """Returns the squared error `Σ_{i > r} σ_i²` of all groups. Raises BudgetError."""
        return float(self.errors[checked_rank("rank", rank, self.full) - 1])

    def kernel(self, rank: int, dtype: torch.dtype | None = None) -> Tensor:
        """Returns the rebuilt weight, in its own type or `dtype`."""
        left, right = self._factors(rank)
        return self._weight_of(left @ right).to(self.weight.device, dtype or self.weight.dtype)

    def conv(self, rank: int, like: nn.Conv2d | nn.Linear | None = None) -> FactorizedPair:
        """Returns the approximation as a module, with the geometry and bias of `like`."""
        left, right = (
            part.to(self.weight.device, self.weight.dtype) for part in self._factors(rank)
        )
        return self._module(left, right, like if like is not None else self.like)

    def _factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Returns `(g, p, r)` and `(g, r, q)`, float64; their product is the best of that rank."""
        rank = checked_rank("rank", rank, self.full)
        matrices, vectors = matrices_of(self), self._vectors
        if matrices.shape[1] <= matrices.shape[2]:
            left = vectors[:, :, :rank]
            return left, left.mT @ matrices
        right = vectors[:, :, :rank]
        return matrices @ right, right.mT

    @cached_property
    def _vectors(self) -> Tensor:
        """Singular vectors of the smaller side, `(g, min(p, q), R)`, largest energy first."""
        matrices = matrices_of(self)
        with one_thread():
            vectors: Tensor = torch.linalg.eigh(_gram(matrices)).eigenvectors
            # Eigenvalues that have lost their digits are in no reliable order.
            order = _energies(matrices, vectors).argsort(dim=1, descending=True)
            return vectors.take_along_dim(order[:, None], 2)

    @abstractmethod
    def _matrix(self, weight: Tensor) -> Tensor:
        """Returns a weight as matrices `(g, p, q)`."""

    @abstractmethod
    def _weight_of(self, matrices: Tensor) -> Tensor:
        """Returns matrices as a weight: the inverse of `_matrix`."""

    @abstractmethod
    def _module(self, left: Tensor, right: Tensor, like: Any) -> FactorizedPair:
        """Returns the two layers of the factors `left` `(g, p, r)` and `right` `(g, r, q)`."""


class SVDSpectrum(MatrixSpectrum):
    """Channel SVD: the weight of each group read as `(M / g, C·K² / g)`."""

    @property
    def _groups(self) -> int:
        return self.like.groups if isinstance(self.like, nn.Conv2d) else 1

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.reshape(self._groups, len(weight) // self._groups, -1)

    def _weight_of(self, matrices: Tensor) -> Tensor:
        return matrices.reshape(self.weight.shape)

    def _module(self, left: Tensor, right: Tensor, like: Any) -> FactorizedPair:
        groups = left.shape[0]
        last = left.flatten(0, 1)
        first = right.flatten(0, 1)
        if self.weight.ndim == 2:
            bias = None if like is None or like.bias is None else like.bias.detach()
            return SVDLinear(linear(first, None), linear(last, bias))
        return SVDConv2d(
            conv2d(first.reshape(-1, *self.weight.shape[1:]), groups=groups, **geometry_of(like)),
            conv2d(last[:, :, None, None], bias_of(like), groups=groups),
        )


class SpatialSVDSpectrum(MatrixSpectrum):
    """Spatial SVD: the weight read as `(C·Kh, M·Kw)`."""

    def _matrix(self, weight: Tensor) -> Tensor:
        out, channels, height, width = weight.shape
        return weight.permute(1, 2, 0, 3).reshape(1, channels * height, out * width)

    def _weight_of(self, matrices: Tensor) -> Tensor:
        out, channels, height, width = self.weight.shape
        return matrices.reshape(channels, height, out, width).permute(2, 0, 1, 3)

    def _module(self, left: Tensor, right: Tensor, like: Any) -> FactorizedPair:
        out, channels, height, width = self.weight.shape
        first = left[0].T.reshape(-1, channels, height, 1)
        last = right[0].reshape(-1, out, width).permute(1, 0, 2)[:, :, None]
        vertical, horizontal = split_geometry(geometry_of(like))
        return SpatialSVDConv2d(
            conv2d(first, **vertical), conv2d(last, bias_of(like), **horizontal)
        )


def split_geometry(geometry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the vertical and the horizontal part of a convolution's geometry."""
    neutral = {"stride": 1, "dilation": 1, "padding": 0}
    vertical, horizontal = dict(geometry), dict(geometry)
    for key, nothing in neutral.items():
        value = geometry.get(key, nothing)
        if not isinstance(value, str):
            high, wide = value if isinstance(value, tuple) else (value, value)
            vertical[key], horizontal[key] = (high, nothing), (nothing, wide)
    return vertical, horizontal


def spectrum(
    weight: Tensor | nn.Conv2d | nn.Linear, *, energy: FloatArray | None = None
) -> SVDSpectrum:
    """Decomposes a kernel `(M, C, Kh, Kw)`, an nn.Conv2d (per group) or an nn.Linear.

    energy : energies of the same weight from an earlier call; nothing is decomposed then.
    Raises ModelError.
    """
    if isinstance(weight, nn.Linear):
        values, _ = weight_of(weight.weight[:, :, None, None])
        return _decomposed(SVDSpectrum, values[:, :, 0, 0], weight, energy)
    if isinstance(weight, nn.Conv2d):
        values, _ = weight_of(weight.weight)
        return _decomposed(SVDSpectrum, values, weight, energy)
    values, _ = weight_of(weight)
    return _decomposed(SVDSpectrum, values, None, energy)


def spatial_spectrum(
    weight: Tensor | nn.Conv2d, *, energy: FloatArray | None = None
) -> SpatialSVDSpectrum:
    """Decomposes a kernel `(M, C, Kh, Kw)` or an nn.Conv2d by spatial SVD.

    energy : as in `spectrum`. Raises ModelError.
    """
    values, like = weight_of(weight)
    if values.shape[2:] == (1, 1):
        raise ModelError("a 1×1 kernel cannot be split in space; use the channel SVD.")
    return _decomposed(SpatialSVDSpectrum, values, like, energy)


def _decomposed(kind: type[Kind], weight: Tensor, like: Any, energy: FloatArray | None) -> Kind:
    """Returns a spectrum of this class, with its energies."""
    if energy is not None:
        return kind(weight, energy, like)
    bare = kind(weight, np.empty((0, 0)), like)
    matrices = matrices_of(bare)
    size = min(matrices.shape[1:])
    with one_thread():
        if size >= LARGE:
            values = torch.linalg.eigvalsh(_gram(matrices)).flip(1).clamp(min=0).numpy()
            return kind(weight, values, like)
        # Energies along the vectors keep the digits that small eigenvalues lose.
        energies = _energies(matrices, bare._vectors)
    return kind(weight, energies.numpy(), like)


def matrices_of(spectrum: MatrixSpectrum) -> Tensor:
    """Returns the matrices `(g, p, q)` of a spectrum's weight, float64."""
    return spectrum._matrix(spectrum.weight.cpu().double())


def _gram(matrices: Tensor) -> Tensor:
    """Returns the smaller Gram matrix of each matrix, `(g, min(p, q), min(p, q))`."""
    left = matrices.shape[1] <= matrices.shape[2]
    return matrices @ matrices.mT if left else matrices.mT @ matrices


def _energies(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Returns the energy of each matrix along each vector of its smaller side, `(g, R)`."""
    left = matrices.shape[1] <= matrices.shape[2]
    moved = vectors.mT @ matrices if left else matrices @ vectors
    return moved.square().sum(2 if left else 1)


@dataclass(frozen=True, eq=False)
class OutputSVDSpectrum(SVDSpectrum):
    """Channel SVD of a convolution without groups, with errors of its output.

    back : roots S of its inputs' moments. The kernel times the roots is decomposed: `U Uᵀ W S` is
    nearest to `W S`, so `U` and `Uᵀ W` are the two layers.
    """

    back: WhiteningRoots

    def _factors(self, rank: int) -> tuple[Tensor, Tensor]:
        left = self._vectors[:, :, : checked_rank("rank", rank, self.full)]
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
    """Decomposes a convolution without groups, with errors of its output.

    moments, ridge : as in `tucker.spectrum`. Raises ModelError, DataError.
    """
    weight, like = weight_of(conv)
    back = WhiteningRoots.of(moments, weight.shape, ridge)
    moved = _moved(weight, back)
    bare = OutputSVDSpectrum(weight, np.empty((0, 0)), like, back)
    energy = (bare._vectors.mT @ moved).square().sum(2)[:, : min(moved.shape[1:])]
    return replace(bare, energy=energy.numpy())


def _moved(weight: Tensor, back: WhiteningRoots) -> Tensor:
    """Returns the kernel times the roots, `(1, M, C·K²)`."""
    return back.applied(weight.cpu().double()).flatten(1)[None]
