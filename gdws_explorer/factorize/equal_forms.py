"""Other forms of a factorised layer with equal outputs, which a runtime may compute faster.

Runtimes work on blocks of channels: ONNX Runtime's fast kernels need channels in multiples of 4 to
16, and fall back to slow ones for all other numbers. `padded` adds channels whose weights are zero.
ONNX Runtime leaves its own memory layout for a Gather; `with_selection` selects the channels by a
1×1 convolution, and `without_gather` needs no selection where no channel has two kernels. `dense`
is the layer with the rebuilt kernel. All outputs are equal up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d
from gdws_explorer.factorize.tucker import Tucker2Conv2d

Form = Callable[[nn.Module, int], nn.Module | None]


def as_it_is(module: nn.Module, step: int) -> nn.Module:
    """Returns the module itself."""
    return module


def padded(module: nn.Module, step: int) -> nn.Module | None:
    """Returns a copy whose inner channels are a multiple of `step`, by weights of zero.

    module : a factorised convolution. None for other modules, for groups, and where no channel
    has to be added.

    Examples
    --------
    >>> padded(GDWSConv2d.from_conv(nn.Conv2d(4, 8, 3), G=9), 8)
    GDWSConv2d(
      4, 8, G=16
      (depthwise): Conv2d(16, 16, kernel_size=(3, 3), stride=(1, 1), groups=16)
      (pointwise): Conv2d(16, 8, kernel_size=(1, 1), stride=(1, 1))
    )
    """
    if isinstance(module, GDWSConv2d):
        more = -len(module.index) % step
        counts = module.counts
        counts[-1] += more
        depthwise = _grown(module.depthwise, more, 0, groups=module.depthwise.groups + more)
        wider = GDWSConv2d(counts, depthwise, _grown(module.pointwise, 0, more))
        return wider if more else None
    if isinstance(module, Tucker2Conv2d):
        r_in, r_out = -module.core.in_channels % step, -module.core.out_channels % step
        first, last = _grown(module.first, r_in, 0), _grown(module.last, 0, r_out)
        wide = Tucker2Conv2d(first, _grown(module.core, r_out, r_in), last)
        return wide if r_in or r_out else None
    if isinstance(module, SVDConv2d | SpatialSVDConv2d) and module.first.groups == 1:
        more = -module.first.out_channels % step
        pair = type(module)(_grown(module.first, more, 0), _grown(module.last, 0, more))
        return pair if more else None
    return None


def with_selection(module: nn.Module, step: int) -> nn.Module | None:
    """Returns a GDWS layer that selects its channels by a 1×1 convolution; None for others.

    Its inner channels are a multiple of `step`.
    """
    if not isinstance(module, GDWSConv2d):
        return None
    module = padded(module, step) or module
    assert isinstance(module, GDWSConv2d)
    weight = F.one_hot(module.index, module.in_channels).to(module.depthwise.weight)
    return nn.Sequential(conv2d(weight[:, :, None, None]), module.depthwise, module.pointwise)


def without_gather(module: nn.Module, step: int) -> nn.Module | None:
    """Returns a depthwise-separable layer: one kernel per channel, zero for channels without one.

    None for layers that are not GDWS, and where a channel has two kernels.
    """
    if not isinstance(module, GDWSConv2d) or int(module.counts.max()) > 1:
        return None
    kernel = module.depthwise.weight.detach()
    depthwise = kernel.new_zeros(module.in_channels, *kernel.shape[1:])
    depthwise[module.index] = kernel
    weight = module.pointwise.weight.detach()
    pointwise = weight.new_zeros(len(weight), module.in_channels, 1, 1)
    pointwise[:, module.index] = weight
    geometry = geometry_of(module.depthwise)
    return nn.Sequential(
        conv2d(depthwise, groups=module.in_channels, **geometry),
        conv2d(pointwise, bias_of(module.pointwise)),
    )


def dense(module: nn.Module, step: int) -> nn.Module | None:
    """Returns the dense layer with the rebuilt kernel."""
    made: nn.Module = module.dense()  # type: ignore[operator]
    return made


FORMS: dict[str, Form] = {
    "as built": as_it_is,
    "padded": padded,
    "1×1 selection": with_selection,
    "without gather": without_gather,
    "dense": dense,
}


def _grown(conv: nn.Conv2d, out: int, channels: int, groups: int | None = None) -> nn.Conv2d:
    """Returns a copy with more output and input channels, whose weights are zero."""
    weight = F.pad(conv.weight.detach(), (0, 0, 0, 0, 0, channels, 0, out))
    bias: Tensor | None = bias_of(conv)
    bias = None if bias is None else F.pad(bias, (0, out))
    with torch.no_grad():
        return conv2d(weight, bias, groups=groups or conv.groups, **geometry_of(conv))
