"""Joint GDWS rankings of a network's layers, from one pass of some images (ours)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gdws_explorer.factorize import gdws_joint
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.lockstep import LockstepForward
from gdws_explorer.network.calibration.margins import convolutions_of
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import to_float64, to_single
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import report

WIDEST = 1200  # numbers in a patch: above, a ranking takes minutes


def joint_rankings(
    model: nn.Module,
    x: Tensor,
    names: Collection[str],
    *,
    batch_size: int = 64,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> dict[str, gdws_joint.JointRanking]:
    """Returns the joint ranking of every named convolution, up to its break-even, by name.

    model : the dense network. x : images `(N, C, H, W)`. Layers with groups and layers with
    patches of more than 1,200 numbers are left out; of a layer that is called twice, the first
    call counts. Errors are squared errors of the output, summed over the positions and averaged
    over the images, as in a data-aware spectrum. A layer's moments of whole patches are dropped
    once its ranking is made.
    """
    mine = own_copy(model)
    layers = {
        name: conv
        for name, conv in convolutions_of(mine, names).items()
        if conv.groups == 1 and conv.weight[0].numel() <= WIDEST
    }
    found: dict[str, gdws_joint.JointRanking] = {}
    with LockstepForward(mine, list(torch.split(x, batch_size)), layers, {}) as forward:
        while (stop := forward.step()) is not None:
            stop_if(cancel)
            name, inputs = stop
            if name in found:
                continue
            found[name] = _ranking(layers[name], inputs, len(x))
            report(progress, len(found) / len(layers))
    return found


def _ranking(conv: nn.Conv2d, inputs: list[Tensor], n: int) -> gdws_joint.JointRanking:
    """Returns the ranking of one layer; inputs : of n images, in batches."""
    out, channels, *kernel = conv.weight.shape
    area = kernel[0] * kernel[1]
    moment = to_float64(conv.weight.new_zeros(channels * area, channels * area))
    for part in inputs:
        columns = patches(conv, to_single(part)).flatten(1, 2).transpose(0, 1).flatten(1)
        moment += to_float64(columns @ columns.T)
    blocks = gdws_joint.blocks_of(to_float64(conv.weight.flatten(1)).cpu().numpy(), channels)
    break_even = area * channels * out // (area + out)
    return gdws_joint.joint_ranking(blocks, (moment / n).cpu().numpy(), break_even)
