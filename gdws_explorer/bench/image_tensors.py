"""Conversion of images to float32 tensors in [0, 1] with channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdws_explorer.bench.torchvision_import import torchvision
from gdws_explorer.errors import DataError
from gdws_explorer.utils.checks import checked_whole

LAYOUTS = ("NCHW", "NHWC")


def tensor_of(values: Any, what: str) -> Tensor:
    """Returns numbers as a tensor on the CPU, which shares their memory where possible.

    what : a plural noun for the error. Raises DataError.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.array(values, copy=None, order="C")
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError, RuntimeError):
        raise DataError(
            f"{what} are {type(values).__name__}; expected a tensor or an array of numbers."
        ) from None


def channels_first(images: Tensor, layout: str | None = None) -> Tensor:
    """Returns a view `(…, C, H, W)` of images `(N, C, H, W)`, `(N, H, W, C)`, or of one without N.

    layout : "NCHW" or "NHWC", also for one image; None takes the axis of size 1 or 3 as the
    channels. Raises DataError where no axis or both have such a size.
    """
    shape = tuple(images.shape)
    if layout not in (None, *LAYOUTS):
        raise DataError(f'layout is {layout!r}; expected "NCHW", "NHWC" or None.')
    if layout is None:
        first, last = shape[-3] in (1, 3), shape[-1] in (1, 3)
        if first == last:
            why = "either axis could be the channels" if first else "no axis of size 1 or 3"
            raise DataError(
                f'the images have shape {shape}: {why}; give layout="NCHW" or layout="NHWC".'
            )
        layout = "NCHW" if first else "NHWC"
    return images if layout == "NCHW" else images.movedim(-1, -3)


def unit_range(images: Tensor) -> Tensor:
    """Returns images as float32; 8-bit ones are divided by 255, others must be in [0, 1].

    Raises DataError for other integers, and for floating-point numbers that look like 8-bit ones.
    `check_data` refuses the other values outside [0, 1].
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32) / 255
    if not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise DataError(
            f"the images are {kind}; expected uint8 from 0 to 255, or floating point in [0, 1]."
        )
    if images.numel() and 2 < float(images.max()) <= 255 and float(images.min()) >= 0:
        raise DataError(
            f"the images reach from {float(images.min()):.4g} to {float(images.max()):.4g}; "
            "expected [0, 1]: divide 8-bit values by 255."
        )
    return images.to(torch.float32)


def picture(item: Any, resize: Callable[[Any], Any] | None, layout: str | None) -> Tensor:
    """Returns a PIL image, an array or a tensor as an image `(C, H, W)`, float32 in [0, 1].

    Grey PIL images get one channel, all others become RGB. Raises DataError.
    """
    if hasattr(item, "convert") and hasattr(item, "mode"):
        item = item if item.mode in ("L", "RGB") else item.convert("RGB")
        values = np.array(item if resize is None else resize(item))
        found = torch.from_numpy(values)
        found = found[None] if values.ndim == 2 else found.movedim(-1, 0)
        return unit_range(found)
    found = tensor_of(item, "the images")
    if found.ndim != 3:
        raise DataError(
            f"an image has shape {tuple(found.shape)}; expected (C, H, W) or (H, W, C)."
        )
    return resized(unit_range(channels_first(found, layout)), resize)


def resized(images: Tensor, resize: Callable[[Any], Any] | None) -> Tensor:
    """Returns images `(…, C, H, W)` of another size; those in [0, 1] are clamped to [0, 1]."""
    if resize is None:
        return images
    other: Tensor = resize(images)
    return other.clamp(0, 1) if images.min() >= 0 and images.max() <= 1 else other


def resizing(size: int | None) -> Callable[[Any], Any] | None:
    """Returns a function that resizes the shorter side to `size` pixels and takes the centre.

    None for None. Raises DataError for a size that is not a whole number above 0.
    """
    if size is None:
        return None
    side = checked_whole("size", size, expected="a whole number of pixels, or None")
    transforms = torchvision().transforms
    resize: Callable[[Any], Any] = transforms.Compose(
        [transforms.Resize(side, antialias=True), transforms.CenterCrop(side)]
    )
    return resize
