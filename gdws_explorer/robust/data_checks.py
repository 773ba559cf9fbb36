"""Checks of images, labels and class scores, and the sample of images that is measured."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdws_explorer.errors import DataError
from gdws_explorer.utils.tensors import all_finite, checked_labels, dtype_name, tensor_of


def check_data(data: Any) -> tuple[Tensor, Tensor]:
    """Returns images `(N, C, H, W)` as float, contiguous, and labels `(N,)` as int64.

    Raises DataError, which says what is wrong. Images outside [0, 1] are refused, because attacks
    accept them without an error and return nonsense.
    """
    try:
        x, y = data
    except (TypeError, ValueError):
        raise DataError(
            f"data is {type(data).__name__}; expected a pair (images, labels) of tensors or arrays."
        ) from None
    images, labels = _own_tensor(x, "the images").contiguous(), _own_tensor(y, "the labels")
    if images.ndim != 4:
        raise DataError(
            f"the images have shape {tuple(images.shape)}; expected four dimensions, (N, C, H, W)."
        )
    if len(images) == 0:
        raise DataError("there are no images; expected at least one.")
    if images.numel() == 0:
        raise DataError(f"the images have shape {tuple(images.shape)}; expected pixels in them.")
    if not images.is_floating_point():
        raise DataError(
            f"the images are {dtype_name(images)}; expected floating point in [0, 1]: divide "
            "8-bit images by 255, others by the largest value they may have."
        )
    if not all_finite(images):
        raise DataError("the images hold NaN or infinite values; expected numbers in [0, 1].")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise DataError(
            f"the images reach from {low:.4g} to {high:.4g}; expected [0, 1]: put the "
            "normalisation inside the model."
        )
    return images, checked_labels(labels, len(images))


def check_logits(logits: Any, labels: Tensor) -> Tensor:
    """Returns the model's output for a batch if it has one row of class scores per image.

    Raises DataError for other outputs, and for labels without a score.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(labels):
        found = (
            f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        )
        raise DataError(
            f"the model answers {len(labels)} images with {found}; expected class scores of shape "
            f"({len(labels)}, classes)."
        )
    if int(labels.max()) >= logits.shape[1]:
        raise DataError(
            f"a label is {int(labels.max())}, but the model has {logits.shape[1]} classes; "
            f"expected labels from 0 to {logits.shape[1] - 1}."
        )
    return logits


def is_correct(scores: Any, labels: Tensor) -> Tensor:
    """Returns which images are classified correctly, bool `(B,)`, from their class scores.

    A row with a NaN or infinite score has no largest entry and counts as wrong.
    """
    scores = check_logits(scores, labels)
    right: Tensor = (scores.argmax(1) == labels) & torch.isfinite(scores).all(1)
    return right


def data_fingerprint(x: npt.ArrayLike, y: npt.ArrayLike) -> str:
    """Returns a SHA-256 (16 hexadecimal digits) of images `(N, C, H, W)` and labels `(N,)`."""
    digest = hashlib.sha256()
    for part, dtype in ((x, np.float32), (y, np.int64)):
        array = np.ascontiguousarray(part, dtype=dtype)
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _own_tensor(values: Any, what: str) -> Tensor:
    """A tensor as it is, and a copy of other arrays: they may change while a job reads them."""
    found = tensor_of(values, what)
    return found if isinstance(values, Tensor) else found.clone()
