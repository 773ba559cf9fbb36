"""Sources of labelled images that are read lazily: labels first, then only the chosen images."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from gdws_explorer.bench.image_tensors import (
    channels_first,
    picture,
    resized,
    tensor_of,
    unit_range,
)
from gdws_explorer.errors import DataError
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.utils.format import first_line

MAX_BYTES = 8 * 2**30  # of float32 images in memory
# Attributes in which data sets store all labels, or pairs of a file and its label.
LABELS = ("targets", "labels", "_labels", "samples", "_samples")

Tick = Callable[[float], None]
Resize = Callable[[Any], Any] | None


@dataclass(frozen=True)
class DatasetSource:
    """Labelled images that are not read yet.

    title : a name for messages. count : the number of images.
    labels : takes a tick and returns all labels `(count,)`, without reading images if possible.
    read : takes indices and a tick; returns images `(n, C, H, W)`, float32 in [0, 1], and labels
        `(n,)`. A tick is called with the finished fraction, and raises an exception to stop.
    """

    title: str
    count: int
    labels: Callable[[Tick], Any]
    read: Callable[[Sequence[int], Tick], tuple[Tensor, Any]]


def arrays(
    x: Any, y: Any, resize: Resize, layout: str | None, title: str = "the data"
) -> DatasetSource:
    """Returns a source of images in memory: uint8 or float, channels first or last."""
    images = _batch(x, layout)
    labels = checked_labels(y, len(images))

    def read(indices: Sequence[int], tick: Tick) -> tuple[Tensor, Tensor]:
        tick(0.0)
        chosen = torch.as_tensor(indices)
        _check_memory(len(indices), tuple(images.shape[1:]))
        return resized(unit_range(images[chosen]).contiguous(), resize), labels[chosen]

    return DatasetSource(title, len(images), lambda _tick: labels, read)


def npz(path: Path, resize: Resize, layout: str | None) -> DatasetSource:
    """Returns a source of the arrays `x` and `y` of an .npz file, without unpickling."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in ("x", "y") if name not in stored.files]
            if missing:
                raise DataError(
                    f"{path} holds {', '.join(stored.files) or 'nothing'}; expected arrays x "
                    "(images) and y (labels)."
                )
            x, y = stored["x"], stored["y"]
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; expected an .npz with arrays x and y.") from None
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        # numpy takes a file without a known beginning for a pickle, and advises to allow it.
        if "pickle" not in str(error):
            why, hint = first_line(error), "expected an .npz with arrays x and y"
        elif zipfile.is_zipfile(path):
            why = "its arrays hold Python objects"
            hint = "save numbers, np.savez(path, x=images, y=labels)"
        else:
            why, hint = "it is not an .npz file, or damaged", "expected arrays x and y in it"
        raise DataError(f"{path} cannot be read ({why}); {hint}.") from error
    return arrays(x, y, resize, layout, str(path))


def dataset(found: Any, resize: Resize, layout: str | None, title: str) -> DatasetSource:
    """Returns a source of a map-style data set of pairs (image, label).

    The labels are taken from an attribute such as `targets` where there is one. Otherwise every
    item is read once for its label.
    """

    def labels(tick: Tick) -> Any:
        known = _known_labels(found)
        if known is not None:
            return known
        return torch.tensor(
            [_item(found, i, title, tick, len(found))[1] for i in range(len(found))]
        )

    def read(indices: Sequence[int], tick: Tick) -> tuple[Tensor, Tensor]:
        x, y = torch.empty(0), torch.empty(len(indices), dtype=torch.int64)
        for at, index in enumerate(indices):
            image, y[at] = _item(found, index, title, tick, len(indices), at)
            pixels = picture(image, resize, layout)
            if at == 0:
                _check_memory(len(indices), tuple(pixels.shape))
                x = torch.empty(len(indices), *pixels.shape)
            _same_shape(pixels.shape, x.shape[1:], title)
            x[at] = pixels
        return x, y

    return DatasetSource(title, len(found), labels, read)


def loader(found: torch_data.DataLoader[Any], resize: Resize, layout: str | None) -> DatasetSource:
    """Returns a source of a DataLoader: of its data set, or of its batches if they are custom."""
    plain = (
        not isinstance(found.dataset, torch_data.IterableDataset)
        and found.collate_fn is torch_data.default_collate
        and type(found.batch_sampler) is torch_data.BatchSampler
        and isinstance(found.sampler, torch_data.SequentialSampler | torch_data.RandomSampler)
    )
    if plain:
        return dataset(found.dataset, resize, layout, "the DataLoader's data set")
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in found:
        x, y = pair(batch, "a batch of the DataLoader")
        images.append(_batch(x, layout))
        labels.append(tensor_of(y, "the labels").reshape(-1))
        _same_shape(images[-1].shape[1:], images[0].shape[1:], "the DataLoader")
        _check_memory(sum(map(len, images)), tuple(images[0].shape[1:]))
    if not images:
        raise DataError("the DataLoader gives no batch; expected at least one image.")
    return arrays(torch.cat(images), torch.cat(labels), resize, "NCHW", "the DataLoader")


def checked_labels(labels: Any, count: int) -> Tensor:
    """Returns labels `(count,)` as int64; raises DataError for anything else."""
    stand_in = torch.zeros(count, 1, 1, 1)
    return check_data((stand_in, tensor_of(labels, "the labels")))[1]


def pair(item: Any, what: str) -> tuple[Any, Any]:
    """Returns the image and the label of a pair; raises DataError for anything else."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        keys = f" with {', '.join(map(str, item))}" if isinstance(item, dict) else ""
        raise DataError(f"{what} is {type(item).__name__}{keys}; expected a pair (image, label).")
    return item[0], item[1]


def _batch(x: Any, layout: str | None) -> Tensor:
    images = tensor_of(x, "the images")
    if images.ndim != 4:
        raise DataError(
            f"the images have shape {tuple(images.shape)}; expected (N, C, H, W) or (N, H, W, C): "
            "add a channel axis of size 1 to grey images, and reshape flat ones to height "
            "and width."
        )
    return channels_first(images, layout)


def _item(
    found: Any, index: int, title: str, tick: Tick, of: int, at: int | None = None
) -> tuple[Any, int]:
    tick((index if at is None else at) / of)
    try:
        item = found[index]
    except Exception as error:
        raise DataError(
            f"image {index} of {title} cannot be read ({first_line(error)}); repair or remove it."
        ) from error
    image, label = pair(item, f"item {index} of {title}")
    return image, _class_index(label, index, title)


def _class_index(label: Any, index: int, title: str) -> int:
    single = isinstance(label, Tensor | np.ndarray) and np.prod(label.shape) == 1
    value = label.item() if single else label
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise DataError(
            f"the label of image {index} of {title} is {label!r}; expected a whole number, the "
            "index of its class."
        )
    return int(value)


def _known_labels(found: Any) -> Tensor | None:
    """All labels, without reading an image; None where the data set does not store them."""
    if isinstance(found, torch_data.Subset):
        inner = _known_labels(found.dataset)
        return None if inner is None else inner[torch.as_tensor(list(found.indices))]
    if isinstance(found, torch_data.TensorDataset):
        return found.tensors[1].cpu() if len(found.tensors) == 2 else None
    if isinstance(found, torch_data.ConcatDataset):
        parts = [_known_labels(part) for part in found.datasets]
        kept = [part for part in parts if part is not None]
        return torch.cat(kept) if len(kept) == len(parts) else None
    for name in LABELS:
        stored = getattr(found, name, None)
        if stored is None:
            continue
        try:
            if name.endswith("samples"):
                stored = [label for _, label in stored]
            labels = tensor_of(stored, "the labels")
        except (DataError, TypeError, ValueError):
            continue
        whole = not labels.is_floating_point() and labels.dtype != torch.bool
        if labels.shape == (len(found),) and whole:
            return labels
    return None


def _same_shape(shape: Sequence[int], first: Sequence[int], title: str) -> None:
    if tuple(shape) != tuple(first):
        raise DataError(
            f"the images of {title} differ in shape, {tuple(first)} and {tuple(shape)}; give them "
            "one size with size=, such as size=224."
        )


def _check_memory(count: int, shape: tuple[int, ...]) -> None:
    """Raises DataError where the images would take more than MAX_BYTES."""
    size = 4 * count * int(np.prod(shape))
    if size > MAX_BYTES:
        shown = "×".join(map(str, itertools.chain([count], shape)))
        raise DataError(
            f"{shown} numbers take {size / 2**30:.0f} GiB; choose fewer images with n=, or smaller "
            "ones with size=."
        )
