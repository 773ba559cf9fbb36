"""torchvision's data sets by name; nothing is downloaded by default."""

from __future__ import annotations

import difflib
import inspect
import os
from pathlib import Path
from typing import Any

from gdws_explorer.bench.image_folder import Transform
from gdws_explorer.bench.torchvision_import import torchvision
from gdws_explorer.errors import DataError
from gdws_explorer.utils.cache_folder import default_folder
from gdws_explorer.utils.format import first_line


def is_dataset_name(name: str) -> bool:
    """Whether torchvision has a data set of this name, in any case and with or without hyphens."""
    return _plain(name) in _known()


def default_root() -> Path:
    """Returns the default folder of torchvision's data sets, in this package's cache."""
    return default_folder() / "datasets"


def torchvision_dataset(
    name: str,
    transform: Transform,
    root: str | os.PathLike[str] | None,
    download: bool,
    train: bool,
) -> Any:
    """Opens torchvision's data set `name`.

    Some of its formats are pickles (CIFAR); torchvision opens them only if the checksum is that of
    the original.

    root : the folder with its files; by default this package's cache folder. download : whether to
    download missing files from torchvision's address. train : its training part; otherwise its test
    part, or the validation part where there is no test part.

    Raises DataError for an unknown name and for missing files.
    """
    known = _known()
    if _plain(name) not in known:
        near = difflib.get_close_matches(_plain(name), known, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise DataError(
            f"unknown file, folder or torchvision data set {name!r}; expected an .npz file, a "
            f'folder with one folder of images per class, or a name such as "cifar10".{meant}'
        )
    title = known[_plain(name)]
    make = getattr(torchvision().datasets, title)
    where = default_root() if root is None else Path(root)
    takes = inspect.signature(make).parameters
    given = {"root": str(where), "download": download, "transform": transform, "train": train}
    given = {key: value for key, value in given.items() if key in takes}
    parts: tuple[str | None, ...] = (None,)
    if "split" in takes and "train" not in takes:
        parts = ("train",) if train else ("test", "val")
    if download and "download" in takes:
        where.mkdir(parents=True, exist_ok=True)
    for part in parts:
        try:
            return make(**given, **({} if part is None else {"split": part}))
        except ValueError as error:
            if part != parts[-1]:
                continue  # this data set has another name for its test part
            raise _unusable(title, error) from error
        except TypeError as error:
            raise _unusable(title, error) from error
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"{title} could not be downloaded into {where} ({first_line(error)}); try again, "
                "or put its files there."
                if download
                else f"{title} is not complete in {where} ({first_line(error)}); give its folder "
                "as root=, or download it with download=True."
            ) from error
    raise AssertionError("every part is tried")


def _unusable(title: str, error: Exception) -> DataError:
    return DataError(
        f"{title} needs more than its name ({first_line(error)}); make it yourself and "
        f"give the data set: torchvision.datasets.{title}(…)."
    )


def _known() -> dict[str, str]:
    return {_plain(name): name for name in torchvision().datasets.__all__ if name[0].isupper()}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
