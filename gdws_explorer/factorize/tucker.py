"""Tucker-2 approximation of one convolution: low rank in its output and input channels.

The factorisation that CSTAR trains (Phan et al., AAAI 2023, arXiv 2212.01957): 1×1 to r_in
channels, K×K to r_out, 1×1 back to M. Here by truncated higher-order SVD (De Lathauwer et al.,
2000), whose squared error at every pair of ranks is known from the energy of the full core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of, weight_of
from gdws_explorer.factorize.whitening import RIDGE, WhiteningRoots
from gdws_explorer.typing import FloatArray
from gdws_explorer.utils.checks import checked_rank
from gdws_explorer.utils.threads import one_thread


class Tucker2Conv2d(nn.Module):
    """Three convolutions in a row: 1×1 (C → r_in), K×K (r_in → r_out), 1×1 (r_out → M).

    The middle one carries stride, padding and dilation, the last one the bias.
    """

    def __init__(self, first: nn.Conv2d, core: nn.Conv2d, last: nn.Conv2d) -> None:
        super().__init__()
        self.first = first
        self.core = core
        self.last = last

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(N, C, H, W)` to `(N, M, H', W')`."""
        return self.last(self.core(self.first(input)))  # type: ignore[no-any-return]

    def dense(self) -> nn.Conv2d:
        """Returns one nn.Conv2d with the same outputs, with the rebuilt kernel `(M, C, Kh, Kw)`."""
        first = self.first.weight.detach()[:, :, 0, 0]
        last = self.last.weight.detach()[:, :, 0, 0]
        kernel = torch.einsum("mo,oihw,ic->mchw", last, self.core.weight.detach(), first)
        return conv2d(kernel, bias_of(self.last), **geometry_of(self.core))

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, r_out: int, r_in: int) -> Tucker2Conv2d:
        """Returns the truncated HOSVD of a convolution at these ranks.

        Raises ModelError, BudgetError.
        """
        return spectrum(conv).conv(r_out, r_in)

    def extra_repr(self) -> str:
        """Returns the ranks, for `repr`."""
        return f"r_out={self.core.out_channels}, r_in={self.core.in_channels}"


@dataclass(frozen=True, eq=False)
class Tucker2Spectrum:
    """All truncated HOSVDs of one kernel.

    weight : the kernel `(M, C, Kh, Kw)`.
    u_out, u_in : orthogonal factors `(M, M)` and `(C, C)`, float64, largest energy first.
    errors : squared error at ranks (r_out, r_in), at `[r_out - 1, r_in - 1]`, `(M, C)`, float64.
    energy : squared norm of the kernel, or of the kernel times the roots.
    like : the convolution that the weight is from; `conv` takes its geometry and bias.
    back : roots of the inputs' moments and their inverses, in a data-aware spectrum; core, factors
        and errors are then those of the kernel times the roots, so that errors are of the layer's
        output.
    """

    weight: Tensor
    u_out: Tensor
    u_in: Tensor
    errors: FloatArray
    energy: float
    like: nn.Conv2d | None = None
    back: WhiteningRoots | None = None

    @property
    def core(self) -> Tensor:
        """`U_outᵀ · W · U_in`, `(M, C, Kh, Kw)`, float64, computed at every call."""
        return self._core(*self.errors.shape)

    @property
    def full(self) -> tuple[int, int]:
        """Smallest (r_out, r_in) that are exact for every kernel of this shape."""
        out, channels, *kernel = self.weight.shape
        area = int(np.prod(kernel))
        return min(out, channels * area), min(channels, out * area)

    def error(self, r_out: int, r_in: int) -> float:
        """Returns the squared error `‖W‖² - ‖core[:r_out, :r_in]‖²`. Raises BudgetError."""
        r_out, r_in = self._ranks(r_out, r_in)
        return float(self.errors[r_out - 1, r_in - 1])

    def kernel(self, r_out: int, r_in: int, dtype: torch.dtype | None = None) -> Tensor:
        """Returns the rebuilt dense kernel `(M, C, Kh, Kw)`, in the weight's type or `dtype`."""
        u_out, core, u_in = self._truncated(r_out, r_in)
        kernel = torch.einsum("mo,oihw,ci->mchw", u_out, core, u_in)
        return kernel.to(self.weight.device, dtype or self.weight.dtype)

    def conv(self, r_out: int, r_in: int, like: nn.Conv2d | None = None) -> Tucker2Conv2d:
        """Returns the approximation as a module.

        like : a convolution that gives stride, padding, padding_mode, dilation and bias; by
        default the one that the weight is from, else nn.Conv2d's defaults.
        """
        like = like or self.like
        u_out, core, u_in = self._truncated(r_out, r_in)
        return Tucker2Conv2d(
            conv2d(u_in.T[:, :, None, None].to(self.weight)),
            conv2d(core.to(self.weight), **geometry_of(like)),
            conv2d(u_out[:, :, None, None].to(self.weight), bias_of(like)),
        )

    def _truncated(self, r_out: int, r_in: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the factors `(M, r_out)`, core and `(C, r_in)` of the weight itself."""
        r_out, r_in = self._ranks(r_out, r_in)
        core, u_in = self._core(r_out, r_in), self.u_in[:, :r_in]
        if self.back is not None:
            core = (core.flatten(2) @ self.back.space_inverse).reshape(core.shape)
            # Orthonormal again: an inverse root spreads the first factor over decades.
            u_in, rest = torch.linalg.qr(self.back.channels_inverse.T @ u_in)
            core = torch.einsum("oihw,ji->ojhw", core, rest)
        return self.u_out[:, :r_out], core, u_in

    def _core(self, r_out: int, r_in: int) -> Tensor:
        """Returns the leading part of the core, `(r_out, r_in, Kh, Kw)`."""
        numbers = self.weight.cpu().double()
        if self.back is not None:
            numbers = self.back.applied(numbers)
        return _contracted(numbers, self.u_out[:, :r_out], self.u_in[:, :r_in])

    def _ranks(self, r_out: int, r_in: int) -> tuple[int, int]:
        """Returns checked ranks. Raises BudgetError."""
        most_out, most_in = self.errors.shape
        return checked_rank("r_out", r_out, most_out), checked_rank("r_in", r_in, most_in)


def spectrum(
    weight: Tensor | nn.Conv2d,
    moments: tuple[Tensor, Tensor] | None = None,
    *,
    ridge: float = RIDGE,
) -> Tucker2Spectrum:
    """Decomposes a kernel `(M, C, Kh, Kw)`, or the weight of an nn.Conv2d.

    moments : second moment of the input channels, `(C, C)`, and of the positions under the
    kernel, `(K², K²)`, of trace 1; with them errors are of the output, and the moment of whole
    patches is approximated by the Kronecker product of the two (ours). ridge : see
    `whitening.whitening_roots`.

    Two symmetric eigenproblems in float64, of the Gram matrices `(M, M)` and `(C, C)` of the two
    unfoldings, and one two-dimensional cumulative sum. Raises ModelError, DataError.
    """
    kernel, like = weight_of(weight)
    numbers = kernel.cpu().double()
    with one_thread():
        back = None if moments is None else WhiteningRoots.of(moments, numbers.shape, ridge)
        if back is not None:
            numbers = back.applied(numbers)
        u_out = _factor(numbers.flatten(1))
        u_in = _factor(numbers.transpose(0, 1).flatten(1))
        energy = _contracted(numbers, u_out, u_in).square_().sum((2, 3))
    return Tucker2Spectrum(kernel, u_out, u_in, _errors(energy), float(energy.sum()), like, back)


def hooi_kernel(spectrum: Tucker2Spectrum, r_out: int, r_in: int, sweeps: int = 1) -> Tensor:
    """Returns the rebuilt kernel `(M, C, Kh, Kw)` at these ranks after sweeps of HOOI.

    Higher-order orthogonal iteration (De Lathauwer, De Moor & Vandewalle, "On the best rank-1 and
    rank-(R1, …, RN) approximation", 2000): each factor in turn is the best one given the other.
    The error is at most that of the truncated HOSVD. spectrum : of weights, not from data.
    """
    r_out, r_in = spectrum._ranks(r_out, r_in)
    kernel = spectrum.weight.to("cpu", torch.float64)
    u_out, u_in = spectrum.u_out[:, :r_out], spectrum.u_in[:, :r_in]
    with one_thread():
        for _ in range(sweeps):
            narrow = torch.einsum("mchw,ci->mihw", kernel, u_in)
            u_out = _factor(narrow.flatten(1))[:, :r_out]
            narrow = torch.einsum("mchw,mo->cohw", kernel, u_out)
            u_in = _factor(narrow.flatten(1))[:, :r_in]
        core = _contracted(kernel, u_out, u_in)
        rebuilt = torch.einsum("mo,oihw,ci->mchw", u_out, core, u_in)
    return rebuilt.to(spectrum.weight)


def _contracted(kernel: Tensor, u_out: Tensor, u_in: Tensor) -> Tensor:
    """Returns the core of a kernel for these factors."""
    return torch.einsum("mo,mchw,ci->oihw", u_out, kernel, u_in)


def _factor(unfolding: Tensor) -> Tensor:
    """Returns the left singular vectors of an unfolding, largest energy first."""
    vectors: Tensor = torch.linalg.eigh(unfolding @ unfolding.T).eigenvectors
    return vectors.flip(1)


def _errors(energy: Tensor) -> FloatArray:
    """Returns the energy outside of the first r_out rows and r_in columns, for every pair.

    energy : `(M, C)`. The parts outside are added, never subtracted from the total, so that small
    errors keep all their digits.
    """
    cells = energy.numpy()
    right = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1]  # of each row, from column r on
    below = np.cumsum(right[::-1, 0])[::-1]  # of all columns, from row r on
    right_of = np.pad(right[:, 1:], ((0, 0), (0, 1)))
    errors: FloatArray = np.cumsum(right_of, axis=0) + np.append(below[1:], 0.0)[:, None]
    return errors
