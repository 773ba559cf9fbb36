"""Joint GDWS ladders of a network's layers, from one pass of some images (ours)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gdws_explorer.factorize import joint
from gdws_explorer.network.devices import device_of, double
from gdws_explorer.network.layers import own_copy
from gdws_explorer.network.march import March
from gdws_explorer.network.margins import Cancel, Progress, patches, stop_if, watched

WIDEST = 1200  # numbers in a patch: above, a ladder takes minutes


def ladders(
    model: nn.Module,
    x: Tensor,
    names: Collection[str],
    *,
    batch_size: int = 64,
    progress: Progress = None,
    cancel: Cancel = None,
) -> dict[str, joint.JointLadder]:
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
        for name, conv in watched(mine, names).items()
        if conv.groups == 1 and conv.weight[0].numel() <= WIDEST
    }
    found: dict[str, joint.JointLadder] = {}
    with March(mine, list(torch.split(x.to(device_of(mine)), batch_size)), layers, {}) as march:
        while (here := march.step()) is not None:
            stop_if(cancel)
            name, inputs = here
            if name in found:
                continue
            found[name] = _ladder(layers[name], inputs, len(x))
            if progress is not None:
                progress(len(found) / len(layers))
    return found


def _ladder(conv: nn.Conv2d, inputs: list[Tensor], n: int) -> joint.JointLadder:
    out, channels, *kernel = conv.weight.shape
    area = kernel[0] * kernel[1]
    moment = double(conv.weight.new_zeros(channels * area, channels * area))
    for part in inputs:
        columns = patches(conv, part).flatten(1, 2).transpose(0, 1).flatten(1)
        moment += double(columns @ columns.T)
    blocks = joint.blocks_of(double(conv.weight.flatten(1)).cpu().numpy(), channels)
    break_even = area * channels * out // (area + out)
    return joint.ladder(blocks, (moment / n).cpu().numpy(), break_even)
