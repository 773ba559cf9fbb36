"""Images and labels from arrays, files, folders and data sets, checked for attacks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import data as torch_data

from gdws_explorer.bench import datasets, torchvision_datasets
from gdws_explorer.bench.image_folder import Transform, image_folder
from gdws_explorer.bench.image_tensors import resizing
from gdws_explorer.bench.pictures import BACKGROUND, is_picture
from gdws_explorer.errors import DataError
from gdws_explorer.robust.data_checks import check_data, check_logits
from gdws_explorer.typing import Cancel, Progress, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.checks import checked_number
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.format import first_line, printable
from gdws_explorer.utils.modules import preserve_modes
from gdws_explorer.utils.sampling import balanced_sample
from gdws_explorer.utils.tensors import checked_labels


def load_data(
    source: Any,
    *,
    n: int | None = None,
    spare: int = 0,
    seed: int = 0,
    size: int | None = None,
    layout: str | None = None,
    transform: Transform = None,
    background: float = BACKGROUND,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    train: bool = False,
    model: nn.Module | None = None,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> tuple[Tensor, Tensor]:
    """Returns images `(N, C, H, W)`, float32 in [0, 1], and labels `(N,)`, int64, of many sources.

    Parameters
    ----------
    source : one of
        - a pair (images, labels) of arrays or tensors, uint8 or float, channels first or last;
        - a Dataset or list of pairs (image, label), PIL images or tensors, or a DataLoader of one;
        - an `.npz` file with `x` and `y`; never unpickled;
        - a folder with one folder of images per class, labelled in alphabetical order; hidden
          folders and files are left out, and all images become RGB;
        - the name of a torchvision data set, such as "cifar10" or "svhn"; a folder of the same
          name is "./cifar10".
    n, seed : a fixed sample of n images with the classes as equal as possible; the sample of 100
        is the beginning of that of 200. Of folders and data sets only these images are read. None
        takes all images, in their order.
    spare : number of further images after these n, or fewer where the data end.
    size : resizes every image to size × size pixels: the shorter side to size, then the centre.
    layout : "NCHW" or "NHWC"; None takes the axis of size 1 or 3 as the channels.
    transform : for a folder or a named data set, instead of size: PIL image → image in [0, 1].
    background : the grey level that transparent parts of PIL images show, from 0, black, to 1,
        white.
    root, download, train : for a named data set: the folder of its files (by default this
        package's cache folder); whether to download missing files; whether to take its training
        part instead of its test part. Nothing is downloaded without download=True.
    model : if given, must accept these images and have a class score for every label.
    progress : called with the finished fraction. cancel : checked before every image.

    Raises
    ------
    DataError, Cancelled.

    Notes
    -----
    PIL images are read in all modes, and turned as their Exif data say. 16-bit grey ones are
    divided by 65535; of 16-bit colour, Pillow reads 8 bits. Refused are 32-bit whole numbers, of
    unknown range, and floating point outside [0, 1]. Of an animation the first picture counts.

    Examples
    --------
    >>> import numpy as np, gdws_explorer as gx
    >>> x, y = gx.load_data((np.full((2, 8, 8, 3), 51, np.uint8), [0, 1]))
    >>> x.shape, round(float(x.max()), 3), y.tolist()
    (torch.Size([2, 3, 8, 8]), 0.2, [0, 1])
    """

    def tick(done: float) -> None:
        stop_if(cancel)
        if progress is not None:
            progress(Progress(done))

    images = _source(source, size, layout, transform, background, root, download, train)
    if images.count == 0:
        raise DataError(f"there are no images in {images.title}; expected at least one.")
    if n is None:
        indices = torch.arange(images.count)
    else:
        labels = checked_labels(images.labels(tick), images.count)
        indices = balanced_sample(labels, n, seed)
        if spare:
            indices = balanced_sample(labels, min(n + spare, images.count), seed)
    x, y = check_data(images.read(indices.tolist(), tick))
    if model is not None:
        check_model(model, x, y)
    tick(1.0)
    return x, y


def check_model(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Checks that the model accepts these images and has a score for every label.

    x : images `(N, C, H, W)` in [0, 1], of which the model gets one. y : labels `(N,)`.
    Raises DataError.
    """
    if not isinstance(model, nn.Module):
        raise DataError(f"the model is {type(model).__name__}; expected a torch.nn.Module.")
    with preserve_modes(model), torch.inference_mode():
        model.eval()
        try:
            logits = model(as_input(model, x[:1]))
        except Exception as error:
            raise DataError(
                f"the model does not take images of shape {tuple(x.shape[1:])} "
                f"({first_line(error)}); give others, or resize them with size=."
            ) from error
    check_logits(logits, y[:1])  # its message for anything but a table of scores
    check_logits(logits.expand(len(y), -1), y.to(logits.device))


def _source(
    given: Any,
    size: int | None,
    layout: str | None,
    transform: Transform,
    background: float,
    root: str | os.PathLike[str] | None,
    download: bool,
    train: bool,
) -> datasets.DatasetSource:
    if transform is not None and size is not None:
        raise DataError("size and transform are both given; expected one: a transform may resize.")
    expected = "a grey level from 0, black, to 1, white"
    background = checked_number("background", background, expected, least=0, most=1)
    resize = resizing(size)
    path = Path(given) if isinstance(given, str | os.PathLike) else None
    if path is not None and path.suffix != ".npz":
        name = isinstance(given, str)
        dataset = _dataset(str(given), name, transform, background, root, download, train)
        title = printable(path)
        return datasets.dataset(dataset, resize, layout, title, background=background)
    if transform is not None:
        raise DataError(
            "a transform is for folders and named data sets; leave it out for other images."
        )
    if path is not None:
        return datasets.npz(path, resize, layout)
    if isinstance(given, torch_data.DataLoader):
        return datasets.loader(given, resize, layout, background=background)
    if isinstance(given, tuple | list) and len(given) == 2 and not _are_samples(given):
        return datasets.arrays(given[0], given[1], resize, layout, background=background)
    sequence = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    if sequence and not hasattr(given, "dtype") and not isinstance(given, Mapping):
        title = f"the {type(given).__name__}"
        return datasets.dataset(given, resize, layout, title, background=background)
    raise DataError(
        f"the data are {type(given).__name__}; expected (images, labels), a Dataset or DataLoader "
        "of such pairs, an .npz file, a folder with one folder of images per class, or the name of "
        "a torchvision data set."
    )


def _are_samples(given: Sequence[Any]) -> bool:
    """Whether two items are two pairs (image, label), not a pair of images and labels.

    Labels have one dimension, so that a second item that begins with an image is a sample.
    """
    if all(isinstance(each, Mapping) for each in given):
        return True  # refused by their names
    if not all(isinstance(each, tuple | list) and len(each) == 2 for each in given):
        return False
    image = given[1][0]
    nested = isinstance(image, list | tuple) and image and isinstance(image[0], list | tuple)
    return is_picture(image) or getattr(image, "ndim", 0) >= 2 or bool(nested)


def _dataset(
    given: str,
    may_be_a_name: bool,
    transform: Transform,
    background: float,
    root: str | os.PathLike[str] | None,
    download: bool,
    train: bool,
) -> Any:
    """A named data set, or a folder; a data set goes before a folder of the same name."""
    plain = may_be_a_name and not {"/", os.sep, "."} & set(given)
    if Path(given).is_dir() and not (plain and torchvision_datasets.is_dataset_name(given)):
        return image_folder(Path(given), transform, background)
    if not plain:
        raise DataError(
            f"there is no folder {printable(given)}; expected an .npz file, a folder with "
            "one folder of images per class, or the name of a torchvision data set, such as "
            '"cifar10".'
        )
    return torchvision_datasets.torchvision_dataset(given, transform, root, download, train)
