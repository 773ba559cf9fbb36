"""A folder with one folder of images per class, as a data set that reads one image at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Subset

from gdws_explorer.bench.pictures import (
    BACKGROUND,
    colour_picture,
    plain_picture,
    read_picture,
)
from gdws_explorer.errors import DataError
from gdws_explorer.utils.format import first_line, printable

Transform = Callable[[Any], Any] | None

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
# Folders that programs leave among a person's; those with a dot before their name are others.
NO_CLASSES = ("__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information")


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A data set of pairs (picture, class index), of the files in one folder per class.

    classes : names of the folders, in alphabetical order. samples : files with their class index.
    transform : gets each picture in mode RGB with 8 bits; None gives pictures as they are stored.
    background : the grey level that transparent parts show, for the transform.
    """

    classes: list[str]
    samples: list[tuple[str, int]]
    transform: Transform = None
    background: float = BACKGROUND

    @property
    def targets(self) -> list[int]:
        """The class index of every image."""
        return [label for _, label in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        picture = read_picture(Path(path))
        if self.transform is None:
            return picture, label
        plain = plain_picture(picture, f"the image {printable(path)}", self.background)
        return self.transform(colour_picture(plain)), label


def image_folder(
    path: Path, transform: Transform = None, background: float = BACKGROUND
) -> ImageFolder:
    """Returns the images of `path`: one folder per class, with further folders in it or none.

    Hidden folders and files, whose names begin with a dot, are left out, as are folders that
    systems make, such as __MACOSX. Raises DataError without a class, and for classes without an
    image.
    """
    expected = "expected one folder of images per class"
    try:
        classes = sorted(e.name for e in os.scandir(path) if e.is_dir() and not is_hidden(e.name))
        files = {name: _images(path / name) for name in classes}
    except OSError as error:
        raise DataError(
            f"{printable(path)} cannot be read ({first_line(error)}); {expected}."
        ) from error
    empty = [printable(name) for name in classes if not files[name]]
    if not classes or empty:
        missing = "folder in it"
        if empty:
            missing = f"image in the folder{'s' * (len(empty) > 1)} {', '.join(empty)}"
        raise DataError(
            f"{printable(path)} has no {missing}; {expected}, with files {' '.join(EXTENSIONS)}"
            f"{': remove folders without images' if empty else ''}."
        )
    samples = [(file, label) for label, name in enumerate(classes) for file in files[name]]
    return ImageFolder(classes, samples, transform, background)


def with_own_reader(found: Any) -> Any:
    """Returns torchvision's ImageFolder as an `ImageFolder`, within a Subset too; others as given.

    torchvision's reader makes 16-bit pictures white and drops transparency. A data set with a
    reader or transforms of its own stays as it is.
    """
    if type(found) is Subset:
        return Subset(with_own_reader(found.dataset), found.indices)
    theirs = sys.modules.get("torchvision.datasets.folder")
    if theirs is None or type(found) is not theirs.ImageFolder:
        return found
    plain = found.loader is theirs.default_loader and found.transforms is None
    return ImageFolder(found.classes, found.samples) if plain else found


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is one that programs hide from people."""
    return name.startswith(".") or name in NO_CLASSES


def _images(folder: Path) -> list[str]:
    """The files of images in a folder and in those within it, in alphabetical order."""

    def refuse(error: OSError) -> None:
        raise error  # os.walk leaves out a folder that it may not read

    found = []
    for within, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not is_hidden(name)]
        images = [f for f in files if f.lower().endswith(EXTENSIONS) and not is_hidden(f)]
        found.append((within, sorted(images)))
    return [os.path.join(within, name) for within, images in sorted(found) for name in images]
