"""The paper's α: how much the decision depends on every input channel's weights.

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
    attack_images,
    convolutions_of,
    differentiable,
    frozen_copy,
    margin_gradients,
    sample_images,
)
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_images, resolve_device, to_float64
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.sampling import ALPHA_IMAGES

CACHED = 1 << 19  # numbers processed at once, so that they stay in the processor's cache
MARGIN = 0.1  # smaller margins are raised to this, since 1/margin² has no bound


@differentiable()
def compute_alpha(
    model: nn.Module,
    data: object,
    attack: AttackLike | None = None,
    *,
    names: Collection[str] | None = None,
    n: int | None = ALPHA_IMAGES,
    seed: int = 0,
    margin_floor: float = MARGIN,
    batch_size: int = BATCH,
    device: str | torch.device | None = None,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> dict[str, Tensor]:
    """Computes the weights `(C,)`, float64, of every convolution's input channels (eq. 8).

    Works on a copy in eval mode; the model is not changed. A layer that is called twice has one
    gradient, the sum over its calls; with groups, `M` is the number of outputs of a channel's
    group.

    Parameters
    ----------
    model : images `(N, C, H, W)` to scores `(N, classes)`.
    data : images, or (images, labels). Only the attack needs labels; without them it takes the
        model's own answers.
    attack : an object with `bind(model)`; None for clean images.
    names : names of convolutions; None for all that a forward pass calls.
    n, seed : the first n of a seeded shuffle; None for all images.
    margin_floor : smaller margins are raised to this value, in units of the scores.
    device : where to compute; the model's device unless given.
    progress : called with the finished fraction. cancel : checked before every backward pass.

    Returns
    -------
    dict[str, Tensor] : by the convolution's name.

    Raises
    ------
    DataError, ModelError, PlanError : an argument cannot be used. Cancelled : on request.
    """
    if not margin_floor > 0:
        raise DataError(f"margin_floor is {margin_floor}; expected a number above 0.")
    x, y = sample_images(data, n, seed)
    mine = frozen_copy(model, x)
    where = resolve_device(device, mine)
    mine = mine.to(where)
    x = as_images(mine, x)
    y = None if y is None else y.to(where)
    layers = convolutions_of(mine, names)
    totals: dict[str, Tensor] = {}
    for start in range(0, len(x), batch_size):
        stop_if(cancel)
        part = slice(start, start + batch_size)
        images = attack_images(mine, x[part], None if y is None else y[part], attack, seed + start)
        for activations in margin_gradients(mine, images, layers, margin_floor, cancel):
            for name, layer in activations.items():
                totals[name] = totals.get(name, 0) + block_squares(layer).sum(0)
        report(progress, (start + batch_size) / len(x))
    return {
        name: (totals[name] / (len(x) * _weights_per_channel(layers[name]))).cpu()
        for name in layers
        if name in totals
    }


def block_squares(layer: LayerActivations, memory: int = CACHED) -> Tensor:
    """Returns `Σ_j ‖∂ margin_j/∂W_c‖²` for every image and input channel, `(N, C)`, float64.

    The gradient of a block is `Σ_p g_p ⊗ patch_p` over the positions p. Its squared norm comes
    from the gradient itself, or from the Gram matrices of both factors where that is less work,
    as with few positions.
    """
    module = layer.module
    out, per_group, *kernel = module.weight.shape
    groups, area = module.groups, kernel[0] * kernel[1]
    n, classes, positions = len(layer.inputs[0]), len(layer.gradients[0]), layer.positions
    rows = classes * out // groups
    explicit = rows * per_group * area * positions
    gram = positions**2 * (rows + per_group * area)
    largest = max(per_group * area * max(rows, positions), positions**2 * (1 + per_group))
    step = max(1, memory // (groups * largest))
    found = []
    for start in range(0, n, step):
        part = slice(start, start + step)
        each = [torch.stack([g[part] for g in call], 1).flatten(3) for call in layer.gradients]
        g = _joined(each).reshape(-1, classes, groups, out // groups, positions)
        g = g.transpose(1, 2).flatten(2, 3)  # (N, groups, J·M/groups, P)
        columns = _joined([patches(module, x[part]) for x in layer.inputs])
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
    """Joins the positions of all calls of a layer; a single call is not copied."""
    return calls[0] if len(calls) == 1 else torch.cat(calls, 3)


def _weights_per_channel(module: nn.Conv2d) -> int:
    """Returns the number of weights of one input channel."""
    return module.weight.numel() // module.in_channels
