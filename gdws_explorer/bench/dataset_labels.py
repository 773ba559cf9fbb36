"""Labels of data sets: read without the images where possible, and one of an item."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from gdws_explorer.bench.image_folder import is_hidden
from gdws_explorer.errors import DataError
from gdws_explorer.utils.checks import is_whole
from gdws_explorer.utils.tensors import checked_labels

# Attributes in which data sets store all labels, or pairs of a file and its label.
LABELS = ("targets", "labels", "_labels", "samples", "_samples")

LARGEST = 2**63 - 1  # of int64


def known_labels(found: Any) -> Tensor | None:
    """Returns all labels `(N,)` without reading an image; None where they are not stored."""
    if isinstance(found, torch_data.Subset):
        inner = known_labels(found.dataset)
        return None if inner is None else inner[torch.as_tensor(list(found.indices))]
    if isinstance(found, torch_data.TensorDataset):
        return _class_indices(found.tensors[1]) if len(found.tensors) == 2 else None
    if isinstance(found, torch_data.ConcatDataset):
        parts = [known_labels(part) for part in found.datasets]
        kept = [part for part in parts if part is not None]
        return torch.cat(kept) if len(kept) == len(parts) else None
    for name in LABELS:
        stored = getattr(found, name, None)
        if stored is None:
            continue
        try:
            if name.endswith("samples"):
                stored = [label for _, label in stored]
        except (TypeError, ValueError):
            continue
        labels = _class_indices(stored)
        if labels is not None and len(labels) == len(found):
            return labels
    return None


def _class_indices(stored: Any) -> Tensor | None:
    """Stored labels `(N,)` as int64; None for anything that is no class index."""
    try:
        return checked_labels(stored, len(stored)).cpu()
    except (DataError, TypeError):
        return None


def class_index(label: Any, index: int, title: str) -> int:
    """Returns the label of image `index` as an int; raises DataError for other labels."""
    array = isinstance(label, Tensor | np.ndarray)
    single = array and np.prod(label.shape) == 1
    value = label.item() if single else label
    if not is_whole(value, most=LARGEST):
        shown = f"an array of shape {tuple(label.shape)}" if array and not single else repr(label)
        raise DataError(
            f"the label of image {index} of {title} is {shown}; expected a whole number, the "
            "index of its class."
        )
    return int(value)


def check_classes(found: Any, title: str) -> None:
    """Raises DataError where hidden folders are classes, as in torchvision's ImageFolder."""
    names = getattr(found, "classes", None) if hasattr(found, "samples") else None
    known = names if isinstance(names, list | tuple) else ()
    hidden = [str(name) for name in known if is_hidden(str(name))]
    if hidden:
        raise DataError(
            f"{title} takes the hidden folders {', '.join(hidden)} for classes, which shifts the "
            "other labels; remove them, or give load_data the folder itself."
        )
