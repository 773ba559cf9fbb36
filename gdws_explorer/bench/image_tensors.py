"""Conversion of images to float32 tensors in [0, 1] with channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdws_explorer.bench.pictures import BACKGROUND, is_picture, plain_picture
from gdws_explorer.bench.torchvision_import import torchvision
from gdws_explorer.errors import DataError
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.tensors import dtype_name, tensor_of

LAYOUTS = ("NCHW", "NHWC")
FAINT = 1.001 / 255  # no image is so dark everywhere: its bytes are 0 and 1


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
        hint = "divide them by the largest value they may have, such as 65535 of 16 bits"
        if images.dtype == torch.bool or images.is_complex():
            hint = "convert them to float32"
        raise DataError(
            f"the images are {dtype_name(images)}; expected uint8 from 0 to 255, or floating point "
            f"in [0, 1]: {hint}."
        )
    images = images.to(torch.float32)
    if images.numel() and 2 < float(images.max()) <= 255 and float(images.min()) >= 0:
        raise DataError(
            f"the images reach from {float(images.min()):.4g} to {float(images.max()):.4g}; "
            "expected [0, 1]: divide 8-bit values by 255."
        )
    return images


def check_not_faint(largest: float) -> None:
    """Raises DataError for images of whole numbers whose largest value, of [0, 1], is nearly 0."""
    if 0 < largest <= FAINT:
        raise DataError(
            "the images hold no value above 1 of 255 (257 of 65535), almost black; expected the "
            "whole range: multiply bytes of 0 and 1 by 255, or give floating point in [0, 1]."
        )


def is_floating(item: Any) -> bool:
    """Whether an image has floating-point values, as a picture, a tensor or an array."""
    if is_picture(item):
        return bool(item.mode == "F")
    kind = getattr(item, "dtype", "float")
    return "float" in getattr(kind, "name", str(kind))


def picture(
    item: Any,
    resize: Callable[[Any], Any] | None,
    layout: str | None,
    what: str = "an image",
    *,
    background: float = BACKGROUND,
    colour: bool = False,
) -> Tensor:
    """Returns a PIL image, an array or a tensor as an image `(C, H, W)`, float32 in [0, 1].

    Grey PIL images get one channel, all others become RGB; see `plain_picture`, also for what and
    background. colour : whether grey PIL images get three channels. Raises DataError.
    """
    if is_picture(item):
        item = plain_picture(item, what, background)
        values = np.array(item if resize is None else resize(item))
        found = torch.from_numpy(values)
        found = found[None] if values.ndim == 2 else found.movedim(-1, 0)
        found = unit_range(found).clamp(0, 1)
        return found.expand(3, -1, -1) if colour else found
    found = tensor_of(item, "the images").cpu()
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
