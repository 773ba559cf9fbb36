"""Sources of labelled images that are read lazily: labels first, then only the chosen images."""

from __future__ import annotations

import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from gdws_explorer.bench.dataset_labels import check_classes, class_index, known_labels
from gdws_explorer.bench.image_folder import ImageFolder, with_own_reader
from gdws_explorer.bench.image_tensors import (
    FAINT,
    channels_first,
    check_not_faint,
    is_floating,
    picture,
    resized,
    unit_range,
)
from gdws_explorer.bench.pictures import BACKGROUND, is_picture
from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.utils.format import first_line, printable
from gdws_explorer.utils.tensors import checked_labels, tensor_of

MAX_BYTES = 8 * 2**30  # of float32 images in memory
# What numpy, zipfile and zlib raise for an .npz file that is damaged.
DAMAGED = (
    OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

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
    x: Any,
    y: Any,
    resize: Resize,
    layout: str | None,
    title: str = "the data",
    *,
    background: float = BACKGROUND,
) -> DatasetSource:
    """Returns a source of images in memory: uint8 or float, channels first or last; or pictures."""
    if _has_pictures(x):
        pairs = list(zip(x, checked_labels(y, len(x)).tolist(), strict=True))
        return dataset(pairs, resize, layout, title, background=background)
    images = _batch(x, layout)
    labels = checked_labels(y, len(images)).cpu()

    def read(indices: Sequence[int], tick: Tick) -> tuple[Tensor, Tensor]:
        tick(0.0)
        chosen = torch.as_tensor(indices)
        _check_memory(len(indices), tuple(images.shape[1:]))
        found = unit_range(images[chosen]).contiguous()
        if images.dtype == torch.uint8 and found.numel() and found.max() <= FAINT:
            check_not_faint(float(images.max()) / 255)
        return resized(found, resize), labels[chosen]

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
    except DAMAGED as error:
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


def dataset(
    found: Any,
    resize: Resize,
    layout: str | None,
    title: str,
    *,
    background: float = BACKGROUND,
) -> DatasetSource:
    """Returns a source of a map-style data set of pairs (image, label).

    The labels are taken from an attribute such as `targets` where there is one. Otherwise every
    item is read once for its label. Images of a folder become RGB.

    background : as in `picture`.
    """
    found = with_own_reader(found)
    whole = found
    while isinstance(whole, torch_data.Subset):
        whole = whole.dataset
    check_classes(whole, title)
    colour = isinstance(whole, ImageFolder) and whole.transform is None

    def labels(tick: Tick) -> Any:
        known = known_labels(found)
        if known is not None:
            return known
        return torch.tensor(
            [_item(found, i, title, tick, len(found))[1] for i in range(len(found))]
        )

    def read(indices: Sequence[int], tick: Tick) -> tuple[Tensor, Tensor]:
        x, y = torch.empty(0), torch.empty(len(indices), dtype=torch.int64)
        floating = False
        for at, index in enumerate(indices):
            image, y[at] = _item(found, index, title, tick, len(indices), at)
            what = _name(found, index, title)
            pixels = picture(image, resize, layout, what, background=background, colour=colour)
            floating = floating or is_floating(image)
            if at == 0:
                _check_memory(len(indices), tuple(pixels.shape))
                x = torch.empty(len(indices), *pixels.shape)
            _same_shape(pixels.shape, x.shape[1:], title)
            x[at] = pixels
        if x.numel() and not floating:
            check_not_faint(float(x.max()))
        return x, y

    return DatasetSource(title, len(found), labels, read)


def loader(
    found: torch_data.DataLoader[Any],
    resize: Resize,
    layout: str | None,
    *,
    background: float = BACKGROUND,
) -> DatasetSource:
    """Returns a source of a DataLoader: of its data set, or of its batches if they are custom."""
    plain = (
        not isinstance(found.dataset, torch_data.IterableDataset)
        and found.collate_fn is torch_data.default_collate
        and type(found.batch_sampler) is torch_data.BatchSampler
        and isinstance(found.sampler, torch_data.SequentialSampler | torch_data.RandomSampler)
    )
    if plain:
        title = "the DataLoader's data set"
        return dataset(found.dataset, resize, layout, title, background=background)
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in _batches(found):
        x, y = pair(batch, "a batch of the DataLoader")
        if _has_pictures(x):
            what = "an image of the DataLoader"
            x = [picture(each, resize, layout, what, background=background) for each in x]
            images.append(tensor_of(x, "the images of a batch"))
        else:
            images.append(_batch(x, layout))
        known = tensor_of(y, "the labels").cpu()
        one_each = known.numel() == len(images[-1])
        labels.append(checked_labels(known.reshape(-1) if one_each else known, len(images[-1])))
        _same_shape(images[-1].shape[1:], images[0].shape[1:], "the DataLoader")
        _check_memory(sum(map(len, images)), tuple(images[0].shape[1:]))
    if not images:
        raise DataError("the DataLoader gives no batch; expected at least one image.")
    return arrays(torch.cat(images), torch.cat(labels), resize, "NCHW", "the DataLoader")


def pair(item: Any, what: str) -> tuple[Any, Any]:
    """Returns the image and the label of a pair; raises DataError for anything else."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        keys = f" with {', '.join(map(str, item))}" if isinstance(item, dict) else ""
        raise DataError(f"{what} is {type(item).__name__}{keys}; expected a pair (image, label).")
    return item[0], item[1]


def _batch(x: Any, layout: str | None) -> Tensor:
    images = tensor_of(x, "the images").cpu()
    if images.ndim != 4:
        raise DataError(
            f"the images have shape {tuple(images.shape)}; expected (N, C, H, W) or (N, H, W, C): "
            "add a channel axis of size 1 to grey images, and reshape flat ones to height "
            "and width."
        )
    if images.dtype != torch.uint8:
        unit_range(images[:0])  # refuses the other integers
    return channels_first(images, layout)


def _batches(found: torch_data.DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches; DataError for what its data set or its `collate_fn` raises."""
    try:
        yield from found
    except Exception as error:
        raise DataError(
            f"the DataLoader cannot give a batch ({first_line(error)}); repair its data set or its "
            "collate_fn."
        ) from error


def _has_pictures(images: Any) -> bool:
    return isinstance(images, list | tuple) and any(is_picture(each) for each in images)


def _name(found: Any, index: int, title: str) -> str:
    """An image's name for errors, with its file where the data set knows it."""
    name = f"image {index} of {title}"
    while isinstance(found, torch_data.Subset):
        found, index = found.dataset, found.indices[index]
    try:
        file = found.samples[index][0]
    except Exception:
        return name
    return f"{name} ({printable(file)})" if isinstance(file, str | os.PathLike) else name


def _item(
    found: Any, index: int, title: str, tick: Tick, of: int, at: int | None = None
) -> tuple[Any, int]:
    tick((index if at is None else at) / of)
    try:
        item = found[index]
    except ExplorerError:
        raise
    except Exception as error:
        raise DataError(
            f"{_name(found, index, title)} cannot be read ({first_line(error)}); repair or remove "
            "it."
        ) from error
    image, label = pair(item, f"item {index} of {title}")
    return image, class_index(label, index, title)


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
