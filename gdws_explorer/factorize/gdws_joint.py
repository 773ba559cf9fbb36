"""GDWS of all input channels at once, by the moments of whole patches (ours).

The spectrum of a layer treats its channels one by one. Their patches are correlated, though: what
one channel's depthwise kernels cannot say, another's can. With the second moment Σ of whole
patches `(C·K², C·K²)` the error of a kernel Q in the output is `tr((W − Q) Σ (W − Q)ᵀ)`. The
depthwise kernels are chosen one after the other, each the best of all kernels on all channels
given those already chosen, the pointwise weights being solved for anew every time: orthogonal
matching pursuit (Pati et al., 1993) over a continuous dictionary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.utils.checks import checked_rank

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 1e-5  # of the mean eigenvalue of the moments


@dataclass(frozen=True, eq=False)
class JointRanking:
    """Depthwise kernels in the order of their choice, and their pointwise weights at every G.

    channel : `(T,)`. kernel : `(T, K²)`. error : squared error of the output with the first G
    kept and their pointwise weights solved for, G = 0 … T, `(T + 1,)`.
    weights : `(M, T)`, of the kernels made orthogonal to those before them; triangle : what
    leads back to the kernels themselves, `(T, T)`, upper triangular with ones on its diagonal.
    """

    channel: Ints
    kernel: Floats
    error: Floats
    weights: Floats
    triangle: Floats
    channels: int

    def counts(self, G: int) -> Ints:
        """How the first G kernels spread over the channels, `(C,)`."""
        return np.bincount(self.channel[:G], minlength=self.channels)

    def factors(self, G: int) -> tuple[Floats, Floats]:
        """Depthwise kernels `(G, K²)` of length 1 and pointwise weights `(M, G)`, by channel."""
        order = np.argsort(self.channel[:G], kind="stable")
        weights = np.linalg.solve(self.triangle[:G, :G], self.weights[:, :G].T).T
        length = np.linalg.norm(self.kernel[:G], axis=1)
        return (self.kernel[:G] / length[:, None])[order], (weights * length)[:, order]

    def conv(self, G: int, like: nn.Conv2d) -> GDWSConv2d:
        """The approximation as a module, with the geometry, bias and type of `like`."""
        depthwise, pointwise = map(
            torch.from_numpy, self.factors(checked_rank("G", G, len(self.channel)))
        )
        kernels = depthwise.reshape(G, 1, *like.kernel_size).to(like.weight)
        return GDWSConv2d(
            torch.from_numpy(self.counts(G)),
            conv2d(kernels, groups=G, **geometry_of(like)),
            conv2d(pointwise[:, :, None, None].to(like.weight), bias_of(like)),
        )


def joint_ranking(blocks: Floats, moment: Floats, most: int, ridge: float = RIDGE) -> JointRanking:
    """Choose up to `most` depthwise kernels.

    blocks : `(C, M, K²)`; rows may carry the root of their weight in the error. moment : Σ,
    `(C·K², C·K²)`.
    """
    channels, out, area = blocks.shape
    size = channels * area
    left = regular(moment, ridge).reshape(channels, area, size)  # Σ given the chosen: Schur
    flat = blocks.transpose(1, 0, 2).reshape(out, size)
    cross = (flat @ left.reshape(size, size)).reshape(out, channels, area).transpose(1, 0, 2).copy()
    errors = [float(np.einsum("cmk,cmk->", cross, blocks))]
    least = 1e-9 * np.trace(moment) / size
    diagonal = np.arange(channels)
    chosen, kernels, shadows, weights = [], [], [], []
    for _ in range(min(most, size)):
        own = left.reshape(channels, area, channels, area)[diagonal, :, diagonal]
        values, vectors = np.linalg.eigh(own)
        inverse = np.where(values > least, 1 / np.sqrt(np.maximum(values, least)), 0.0)
        white = vectors * inverse[:, None, :]
        pull = cross @ white
        gains, ways = np.linalg.eigh(pull.transpose(0, 2, 1) @ pull)
        c = int(gains[:, -1].argmax())
        if gains[c, -1] <= 1e-14 * errors[0]:
            break
        kernel = white[c] @ ways[c, :, -1]  # kernelᵀ · own · kernel = 1
        seen = kernel @ left[c]  # (C·K²,)
        along = cross[c] @ kernel
        left -= np.outer(seen, seen).reshape(left.shape)
        cross -= along[None, :, None] * seen.reshape(channels, 1, area)
        chosen.append(c)
        kernels.append(kernel)
        shadows.append(seen)
        weights.append(along)
        errors.append(max(0.0, errors[-1] - float(gains[c, -1])))
    channel, every = np.array(chosen, dtype=np.int64), np.array(kernels).reshape(-1, area)
    # How much of each kernel lies along the earlier ones, in the metric of the moments.
    shadow = np.array(shadows).reshape(-1, channels, area)[:, channel]
    triangle = np.triu(np.einsum("jik,ik->ji", shadow, every))
    along = np.array(weights).reshape(-1, out).T
    return JointRanking(channel, every, np.array(errors), along, triangle, channels)


def blocks_of(kernel: Floats, channels: int) -> Floats:
    """A kernel `(M, C·K²)` as its blocks `(C, M, K²)`."""
    blocks = kernel.reshape(len(kernel), channels, -1).transpose(1, 0, 2)
    return np.ascontiguousarray(blocks)


def regular(moment: Floats, ridge: float) -> Floats:
    """The moment with a ridge on its diagonal: a share of its mean eigenvalue."""
    size = len(moment)
    return moment + (ridge * np.trace(moment) / size or 1.0) * np.eye(size)
