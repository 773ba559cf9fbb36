"""How much a decision depends on every input channel's weights: the paper's α.

Dbouk & Shanbhag, NeurIPS 2021, eq. 8: the mean over images of
`Σ_{j≠top} ‖∂(z_top − z_j)/∂W_{l,c}‖² / (2 (z_top − z_j)² · M · K²)`, for all layers at once.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.margins import (
    BATCH,
    AttackLike,
    LayerActivations,
    Progress,
    attack_images,
    convolutions_of,
    differentiable,
    frozen_copy,
    margin_gradients,
    sample_images,
)
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import dtype_of, resolve_device, to_float64

CACHED = 1 << 19  # numbers worked on at once: they stay in the processor's cache
MARGIN = 0.1  # logits closer than this count as this far apart: 1/margin² has no bound


@differentiable()
def compute_alpha(
    model: nn.Module,
    data: object,
    attack: AttackLike | None = None,
    *,
    names: Collection[str] | None = None,
    n: int | None = 150,
    seed: int = 0,
    margin_floor: float = MARGIN,
    batch_size: int = BATCH,
    device: str | torch.device | None = None,
    progress: Progress = None,
    cancel: Cancel = None,
) -> dict[str, Tensor]:
    """The weights `(C,)`, float64, of every convolution's input channels, by name (eq. 8).

    On a copy in eval mode; the model stays as it is. A layer called twice has one gradient, the
    sum over its calls; with groups, `M` is the outputs of a channel's group.

    Parameters
    ----------
    model : images `(N, C, H, W)` to scores `(N, classes)`.
    data : images, or (images, labels). Labels are needed by nothing but the attack, which takes
        the model's own answers without them.
    attack : anything with `bind(model)`; None for clean images.
    names : the convolutions wanted; None for all that a pass calls.
    n, seed : the first n of a seeded shuffle; None for all images.
    margin_floor : smaller margins count as this large, in units of the scores.
    device : where to compute; the model's device unless given.
    progress : called with the fraction done. cancel : looked at before every backward pass.

    Raises
    ------
    DataError, ModelError, PlanError : what was given cannot be used. Cancelled.
    """
    if not margin_floor > 0:
        raise DataError(f"margin_floor is {margin_floor}; expected a number above 0.")
    mine = frozen_copy(model)
    x, y = sample_images(data, n, seed)
    where = resolve_device(device, mine)
    mine, x = mine.to(where), x.to(dtype_of(mine)).to(where)
    y = None if y is None else y.to(where)
    layers = convolutions_of(mine, names)
    totals: dict[str, Tensor] = {}
    for start in range(0, len(x), batch_size):
        stop_if(cancel)
        part = slice(start, start + batch_size)
        images = attack_images(mine, x[part], None if y is None else y[part], attack, seed + start)
        for met in margin_gradients(mine, images, layers, margin_floor, cancel):
            for name, seen in met.items():
                squares = block_squares(seen).sum(0)
                totals[name] = totals.get(name, 0) + squares
        if progress is not None:
            progress(min(1.0, (start + batch_size) / len(x)))
    return {
        name: (totals[name] / (len(x) * _block(layers[name]))).cpu()
        for name in layers
        if name in totals
    }


def block_squares(seen: LayerActivations, memory: int = CACHED) -> Tensor:
    """`Σ_j ‖∂ margin_j/∂W_c‖²` for every image and input channel, `(N, C)`, float64.

    The gradient of a block is `Σ_p g_p ⊗ patch_p` over the positions p. Its squared norm is taken
    from the gradient itself, or, where there are fewer positions than numbers in a patch, from
    the Gram matrices of both factors, whichever is less work.
    """
    module = seen.module
    out, per_group, *kernel = module.weight.shape
    groups, area = module.groups, kernel[0] * kernel[1]
    n, classes, positions = len(seen.inputs[0]), len(seen.gradients[0]), seen.positions
    rows = classes * out // groups
    explicit = rows * per_group * area * positions
    gram = positions**2 * (rows + per_group * area)
    largest = max(per_group * area * max(rows, positions), positions**2 * (1 + per_group))
    step = max(1, memory // (groups * largest))
    found = []
    for start in range(0, n, step):
        part = slice(start, start + step)
        each = [torch.stack([g[part] for g in call], 1).flatten(3) for call in seen.gradients]
        g = _joined(each).reshape(-1, classes, groups, out // groups, positions)
        g = g.transpose(1, 2).flatten(2, 3)  # (N, groups, J·M/groups, P)
        columns = _joined([patches(module, x[part]) for x in seen.inputs])
        columns = columns.reshape(-1, groups, per_group, area, positions)
        if explicit <= gram:
            gradient = g @ columns.flatten(2, 3).mT  # (N, groups, J·M/groups, C/groups·K²)
            squares = gradient.square_().sum(2).reshape(-1, groups, per_group, area).sum(3)
        else:
            ours = (g.mT @ g).flatten(2)  # (N, groups, P²)
            theirs = (columns.mT @ columns).flatten(3)  # (N, groups, C/groups, P²)
            squares = (theirs @ ours[..., None])[..., 0]
        found.append(to_float64(squares.flatten(1)))
    return torch.cat(found)


def _joined(calls: list[Tensor]) -> Tensor:
    """The positions of all calls of a layer, one after the other; no copy of a single one."""
    return calls[0] if len(calls) == 1 else torch.cat(calls, 3)


def _block(module: nn.Conv2d) -> int:
    """The weights of one input channel."""
    return module.weight.numel() // module.in_channels
