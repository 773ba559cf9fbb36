"""Reads a convolution's weight and geometry, and makes new convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from gdws_explorer.errors import ModelError


def weight_of(source: Tensor | nn.Conv2d) -> tuple[Tensor, nn.Conv2d | None]:
    """Returns the `(M, C, Kh, Kw)` weight to factorise and the convolution, if it is one.

    Raises ModelError for anything but a finite, floating 4-D weight of an ungrouped convolution.
    """
    like = source if isinstance(source, nn.Conv2d) else None
    if like is not None and like.groups != 1:
        raise ModelError(f"the convolution has groups={like.groups}; expected groups=1.")
    weight = like.weight if like is not None else source
    if not isinstance(weight, Tensor):
        raise ModelError(
            f"cannot factorise a {type(source).__name__}; expected a weight tensor of shape "
            "(M, C, Kh, Kw) or an nn.Conv2d."
        )
    if weight.ndim != 4 or 0 in weight.shape:
        raise ModelError(
            f"the weight has shape {tuple(weight.shape)}; expected (M, C, Kh, Kw), none of them 0."
        )
    if not weight.is_floating_point():
        raise ModelError(f"the weight is {weight.dtype}; expected a floating-point type.")
    weight = weight.detach()
    # In numpy: torch would start its threads, which takes longer than the decomposition.
    numbers = weight.to("cpu", torch.promote_types(weight.dtype, torch.float32)).numpy()
    if not np.isfinite(numbers).all():
        raise ModelError("the weight holds NaN or infinite values; repair the network first.")
    return weight, like


def conv2d(weight: Tensor, bias: Tensor | None = None, **geometry: Any) -> nn.Conv2d:
    """Returns an nn.Conv2d with this `weight` `(M, C / groups, Kh, Kw)` and `bias` `(M,)`.

    geometry : stride, padding, dilation, padding_mode, groups as in nn.Conv2d. There is no random
    initialisation, so torch's random state does not change.
    """
    out, per_group, *kernel = weight.shape
    conv = skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d,
        per_group * geometry.get("groups", 1),
        out,
        tuple(kernel),
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
        **geometry,
    )
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.copy_(weight)
        if bias is not None and conv.bias is not None:
            conv.bias.copy_(bias)
    return conv


def geometry_of(conv: nn.Conv2d | None) -> dict[str, Any]:
    """Returns stride, padding, dilation and padding_mode of a convolution, {} for None."""
    if conv is None:
        return {}
    names = ("stride", "padding", "dilation", "padding_mode")
    return {name: getattr(conv, name) for name in names}


def bias_of(conv: nn.Conv2d | None) -> Tensor | None:
    """Returns the bias `(M,)` of a convolution, detached, or None."""
    return None if conv is None or conv.bias is None else conv.bias.detach()


def patches(module: nn.Conv2d, x: Tensor) -> Tensor:
    """Returns the patches under the kernel, `(N, C, K², P)`, of inputs `(N, C, H, W)`."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    kernel, dilation, stride = module.kernel_size, module.dilation, module.stride
    columns = F.unfold(padded, kernel, dilation=dilation, stride=stride)
    return columns.reshape(*x.shape[:2], -1, columns.shape[-1])
