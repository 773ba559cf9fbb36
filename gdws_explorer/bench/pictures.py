"""Pictures of Pillow in every mode as grey or colour pictures of one depth, upright and opaque."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.utils.format import first_line

BACKGROUND: Final = 1.0  # white: most viewers show transparent pictures so
DEEP: Final = 65535  # the largest value of 16 bits
GREY = ("1", "L", "LA", "La")
ORIENTATION = 0x0112  # the Exif tag that says how a camera was held


def is_picture(item: Any) -> bool:
    """Whether an object is a picture of Pillow."""
    return hasattr(item, "convert") and hasattr(item, "mode")


def read_picture(path: Path) -> Any:
    """Returns the picture in a file, the first one of an animation, read as a whole.

    Raises what Pillow raises, and OSError for an empty file; ExplorerError without Pillow.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise OSError("it is empty, 0 bytes")
    with _pillow().open(path) as picture:
        picture.load()
    return picture


def plain_picture(picture: Any, what: str, background: float = BACKGROUND) -> Any:
    """Returns a picture in mode L or RGB, or in mode F with values in [0, 1].

    Modes L and RGB hold bytes. 16-bit grey pictures become mode F, divided by 65535; Pillow itself
    reads 16-bit colour with 8 bits. Transparent parts show the background. A picture is turned as
    its Exif data say.

    what : a name for errors. background : a grey level, from 0, black, to 1, white.

    Raises DataError for damaged pictures, for values of no known range, and for a transparent
    picture that cannot be seen on the background.
    """
    try:
        picture.load()
        if picture.mode[0] in "IF":
            return _with_unit_range(picture, what, background)
        picture = _upright(picture)
        if _is_transparent(picture):
            return _on_background(picture, what, background)
        if picture.mode in ("L", "RGB"):
            return picture
        return picture.convert("L" if picture.mode == "1" else "RGB")
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many classes
        raise DataError(
            f"{what} cannot be read ({first_line(error)}); repair or remove it."
        ) from error


def colour_picture(picture: Any) -> Any:
    """Returns a picture of `plain_picture` in mode RGB with 8 bits."""
    if picture.mode == "F":
        values = np.rint(np.asarray(picture) * 255).astype(np.uint8)
        picture = _pillow().fromarray(values)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _with_unit_range(picture: Any, what: str, background: float) -> Any:
    """A picture of 16-bit, 32-bit or floating-point grey values as one in [0, 1], mode F."""
    # Mode I is also Pillow's, in some versions, for PNG and PGM files of 16 bits.
    files = picture.mode == "I" and picture.format in ("PNG", "PPM")
    sixteen = files or picture.mode.startswith("I;16")
    values = np.asarray(_upright(picture)).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "I" and not sixteen:
        raise DataError(
            f"{what} holds 32-bit whole numbers from {low:.0f} to {high:.0f}, of which the range "
            "is not known; expected 8 or 16 bits: save it so, or as floating point in [0, 1]."
        )
    if picture.mode == "F" and not 0 <= low <= high <= 1:
        raise DataError(
            f"{what} holds floating-point values from {low:.4g} to {high:.4g}; expected [0, 1]: "
            "divide them by the largest value they may have, and save it again."
        )
    if sixteen:
        key = picture.info.get("transparency")
        values = np.where(values == key, np.float32(background), values / np.float32(DEEP))
    return _pillow().fromarray(values)


def _upright(picture: Any) -> Any:
    """The picture turned as its Exif data say; as it is where they are damaged."""
    try:
        turned = picture.getexif().get(ORIENTATION) in range(2, 9)
    except Exception:
        return picture
    if not turned:
        return picture
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def _is_transparent(picture: Any) -> bool:
    palette = getattr(picture, "palette", None)
    return (
        picture.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        or "transparency" in picture.info
        or (picture.mode == "P" and palette is not None and palette.mode.endswith("A"))
    )


def _on_background(picture: Any, what: str, background: float) -> Any:
    """The picture laid on a ground of one grey level, in mode L or RGB."""
    grey = picture.mode in GREY
    if picture.mode == "La":  # grey that is multiplied by its opacity
        picture = picture.convert("LA")
    picture = picture.convert("RGBA")
    level = round(255 * background)
    ground = _pillow().new("RGBA", picture.size, (level, level, level, 255))
    ground.alpha_composite(picture)
    found = ground.convert("L" if grey else "RGB")
    low, high = picture.getextrema()[3]
    extrema = [found.getextrema()] if grey else found.getextrema()
    if low != high and all(least == most for least, most in extrema):
        raise DataError(
            f"{what} has one colour where it is not transparent, that of the background; give "
            "load_data another background=, from 0, black, to 1, white."
        )
    return found


def _pillow() -> Any:
    """Pillow's module Image; raises ExplorerError where it is not installed."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ExplorerError(
            "images in files need Pillow, which is not installed; install it with: "
            'pip install "gdws-explorer[vision]"'
        ) from error
    return Image
