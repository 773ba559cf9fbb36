"""Joint GDWS ladders of a network's layers, from one pass of some images (ours)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gdws_explorer.factorize import gdws_joint
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.lockstep import LockstepForward
from gdws_explorer.network.calibration.margins import Progress, convolutions_of
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import device_of, to_float64
from gdws_explorer.utils.modules import own_copy

WIDEST = 1200  # numbers in a patch: above, a ladder takes minutes


def joint_rankings(
    model: nn.Module,
    x: Tensor,
    names: Collection[str],
    *,
    batch_size: int = 64,
    progress: Progress = None,
    cancel: Cancel = None,
) -> dict[str, gdws_joint.JointRanking]:
    """The joint ladder of every named convolution, up to its break-even, by name.

    model : the dense network. x : images `(N, C, H, W)`. A layer's moments of whole patches are
    dropped once its ladder is made. Left out: layers with groups, patches of more than 1,200
    numbers (they keep the ladders of single channels), and all calls after a layer's first.
    Errors are squared errors of the output, summed over the positions, averaged over the images,
    as a data-aware spectrum's are.
    """
    mine = own_copy(model)
    layers = {
        name: conv
        for name, conv in convolutions_of(mine, names).items()
        if conv.groups == 1 and conv.weight[0].numel() <= WIDEST
    }
    found: dict[str, gdws_joint.JointRanking] = {}
    with LockstepForward(
        mine, list(torch.split(x.to(device_of(mine)), batch_size)), layers, {}
    ) as march:
        while (here := march.step()) is not None:
            stop_if(cancel)
            name, inputs = here
            if name in found:
                continue
            found[name] = _ladder(layers[name], inputs, len(x))
            if progress is not None:
                progress(len(found) / len(layers))
    return found


def _ladder(conv: nn.Conv2d, inputs: list[Tensor], n: int) -> gdws_joint.JointRanking:
    out, channels, *kernel = conv.weight.shape
    area = kernel[0] * kernel[1]
    moment = to_float64(conv.weight.new_zeros(channels * area, channels * area))
    for part in inputs:
        columns = patches(conv, part).flatten(1, 2).transpose(0, 1).flatten(1)
        moment += to_float64(columns @ columns.T)
    blocks = gdws_joint.blocks_of(to_float64(conv.weight.flatten(1)).cpu().numpy(), channels)
    break_even = area * channels * out // (area + out)
    return gdws_joint.joint_ranking(blocks, (moment / n).cpu().numpy(), break_even)
