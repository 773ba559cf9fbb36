"""Sums of a residual network at which a layer before them can be solved for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdws_explorer.network.calibration.lockstep import LockstepForward

SMALLEST = 1e-3  # BatchNorm scales are raised to at least this fraction of the largest


@dataclass(frozen=True)
class ResidualSums:
    """The layers whose output goes straight into a sum.

    scales : of each layer that can be solved for at its sum, by name: what its BatchNorm
    multiplies its output by, `(M, 1, 1)` or 1. obstacles : why each of the others cannot, by name.
    """

    scales: Mapping[str, Tensor | float]
    obstacles: Mapping[str, str]


def find_sums(model: nn.Module, x: Tensor, convs: Mapping[str, nn.Conv2d]) -> ResidualSums:
    """Follows the outputs of `convs` through one forward pass on `x` `(1, C, H, W)` to their sums.

    A layer can be solved for at a sum only where its output, or that of its BatchNorm, is added
    unchanged to a tensor of the same shape, and nothing else reads it.
    """
    scales: dict[str, Tensor | float] = {}
    obstacles: dict[str, str] = {}
    with LockstepForward(model, [x], {}, convs, convs) as forward:
        while forward.step() is not None:
            pass
        calls = Counter(branch.name for branch in forward.branches)
        for branch in forward.branches:
            if branch.other is None:
                continue
            if calls[branch.name] > 1:
                obstacles[branch.name] = "the layer is called more than once"
            elif branch.changed:
                obstacles[branch.name] = "its output is changed in place before the sum"
            elif branch.other != branch.out.shape:
                obstacles[branch.name] = (
                    f"the summands have different shapes, {tuple(branch.out.shape)} and "
                    f"{tuple(branch.other)}"
                )
            elif branch.reads:
                obstacles[branch.name] = "its output is also read by another operation"
            else:
                scales[branch.name] = _scale(branch.norm)
    return ResidualSums(scales, obstacles)


def _scale(norm: nn.Module | None) -> Tensor | float:
    """Returns a BatchNorm's factor of each channel, `(M, 1, 1)`, at a distance from zero."""
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_var is None:
        return 1.0
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.detach()
    least = SMALLEST * float(scale.abs().max())
    sign = torch.where(scale < 0, -1.0, 1.0)
    return (sign * scale.abs().clamp_min(least))[:, None, None]
