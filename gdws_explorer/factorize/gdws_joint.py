"""GDWS of all input channels at once, by the moments of whole patches (ours).

The spectrum of a layer treats its channels separately. But their patches are correlated, so that
the depthwise kernels of one channel can replace those of another. With the second moment Σ of
whole patches `(C·K², C·K²)` the error of a kernel Q in the output is `tr((W − Q) Σ (W − Q)ᵀ)`. The
depthwise kernels are chosen one after another, each the best of all kernels on all channels
given the earlier ones, and the pointwise weights are solved for again every time: orthogonal
matching pursuit (Pati et al., 1993) over a continuous dictionary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.typing import FloatArray, IntArray
from gdws_explorer.utils.checks import checked_rank

RIDGE = 1e-5  # of the mean eigenvalue of the moments


@dataclass(frozen=True, eq=False)
class JointRanking:
    """Depthwise kernels in the order of their choice, and their pointwise weights at every G.

    channel : `(T,)`. kernel : `(T, K²)`. error : squared error of the output with the first G
    kernels and their best pointwise weights, G = 0 … T, `(T + 1,)`.
    weights : `(M, T)`, of the kernels after orthogonalisation to the earlier ones; triangle : maps
    them back to the kernels themselves, `(T, T)`, upper triangular with ones on its diagonal.
    """

    channel: IntArray
    kernel: FloatArray
    error: FloatArray
    weights: FloatArray
    triangle: FloatArray
    channels: int

    def counts(self, G: int) -> IntArray:
        """Returns the number of the first G kernels in every channel, `(C,)`."""
        return np.bincount(self.channel[:G], minlength=self.channels)

    def factors(self, G: int) -> tuple[FloatArray, FloatArray]:
        """Returns depthwise kernels `(G, K²)` of length 1 and pointwise weights `(M, G)`."""
        order = np.argsort(self.channel[:G], kind="stable")
        weights = np.linalg.solve(self.triangle[:G, :G], self.weights[:, :G].T).T
        length = np.linalg.norm(self.kernel[:G], axis=1)
        return (self.kernel[:G] / length[:, None])[order], (weights * length)[:, order]

    def conv(self, G: int, like: nn.Conv2d) -> GDWSConv2d:
        """Returns the approximation as a module, with the geometry, bias and type of `like`."""
        depthwise, pointwise = map(
            torch.from_numpy, self.factors(checked_rank("G", G, len(self.channel)))
        )
        kernels = depthwise.reshape(G, 1, *like.kernel_size).to(like.weight)
        return GDWSConv2d(
            torch.from_numpy(self.counts(G)),
            conv2d(kernels, groups=G, **geometry_of(like)),
            conv2d(pointwise[:, :, None, None].to(like.weight), bias_of(like)),
        )


def joint_ranking(
    blocks: FloatArray, moment: FloatArray, most: int, ridge: float = RIDGE
) -> JointRanking:
    """Returns a ranking of up to `most` depthwise kernels.

    blocks : `(C, M, K²)`; rows may be scaled by the root of their weight in the error. moment : Σ,
    `(C·K², C·K²)`. ridge : added to Σ, as a fraction of its mean eigenvalue.
    """
    channels, out, area = blocks.shape
    size = channels * area
    left = with_ridge(moment, ridge).reshape(
        channels, area, size
    )  # Schur complement of the chosen ones
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
        gains, directions = np.linalg.eigh(pull.transpose(0, 2, 1) @ pull)
        c = int(gains[:, -1].argmax())
        if gains[c, -1] <= 1e-14 * errors[0]:
            break
        kernel = white[c] @ directions[c, :, -1]  # kernelᵀ · own · kernel = 1
        shadow = kernel @ left[c]  # (C·K²,)
        along = cross[c] @ kernel
        left -= np.outer(shadow, shadow).reshape(left.shape)
        cross -= along[None, :, None] * shadow.reshape(channels, 1, area)
        chosen.append(c)
        kernels.append(kernel)
        shadows.append(shadow)
        weights.append(along)
        errors.append(max(0.0, errors[-1] - float(gains[c, -1])))
    channel, every = np.array(chosen, dtype=np.int64), np.array(kernels).reshape(-1, area)
    # Inner products of each kernel with the earlier ones, in the metric of the moments.
    products = np.array(shadows).reshape(-1, channels, area)[:, channel]
    triangle = np.triu(np.einsum("jik,ik->ji", products, every))
    along = np.array(weights).reshape(-1, out).T
    return JointRanking(channel, every, np.array(errors), along, triangle, channels)


def blocks_of(kernel: FloatArray, channels: int) -> FloatArray:
    """Returns a kernel `(M, C·K²)` as its blocks `(C, M, K²)`."""
    blocks = kernel.reshape(len(kernel), channels, -1).transpose(1, 0, 2)
    return np.ascontiguousarray(blocks)


def with_ridge(moment: FloatArray, ridge: float) -> FloatArray:
    """Returns the moment plus a ridge, a fraction of its mean eigenvalue, on the diagonal."""
    size = len(moment)
    return moment + (ridge * np.trace(moment) / size or 1.0) * np.eye(size)
