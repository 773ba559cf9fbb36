"""Pictures of every mode of Pillow: depth, transparency, orientation, damage."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.pictures import (
    colour_picture,
    is_picture,
    plain_picture,
    read_picture,
)
from gdws_explorer.errors import DataError


def stored(picture: Image.Image, form: str = "PNG", **options) -> Image.Image:
    """The picture after it was saved and opened again."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return Image.open(file)


def values(picture: Image.Image, **options) -> list:
    """The pixels of the plain picture: bytes as they are, floating point times 65535."""
    found = np.asarray(plain_picture(picture, "it", **options))
    return (found * 65535 if found.dtype == np.float32 else found).round(3).tolist()


DEEP = np.array([[0, 255, 256], [1000, 32768, 65535]], np.uint16)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(DEEP),
        Image.fromarray(DEEP.astype(">u2")),
        stored(Image.fromarray(DEEP)),
        stored(Image.fromarray(DEEP), "TIFF"),
        stored(Image.fromarray(DEEP.astype(">u2")), "TIFF"),
        stored(Image.fromarray(DEEP), "PPM"),  # mode I
        Image.fromarray((DEEP / 65535).astype(np.float32)),
        stored(Image.fromarray((DEEP / 65535).astype(np.float32)), "TIFF"),
        stored(Image.fromarray((DEEP / 65535).astype(np.float32)), "PPM"),
    ],
    ids=["I;16", "I;16B", "PNG", "TIFF", "TIFF >", "PGM", "F", "F TIFF", "F PFM"],
)
def test_16_bits_and_floating_point_keep_their_values(picture):
    assert plain_picture(picture, "it").mode == "F"
    assert values(picture) == DEEP.tolist()
    eight = np.asarray(colour_picture(plain_picture(picture, "it")))
    assert eight[..., 0].tolist() == [[0, 1, 1], [4, 128, 255]]
    assert eight.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (DEEP.astype(np.int32), "32-bit whole numbers from 0 to 65535, of which the range is not"),
        (DEEP.astype(np.float32), r"floating-point values from 0 to 6.554e\+04; expected \[0, 1\]"),
        (np.float32([[-0.5, 1]]), "from -0.5 to 1; expected"),
        (np.float32([[np.nan, 1]]), "from nan to nan; expected"),
    ],
)
def test_values_of_no_known_range_are_refused(pixels, says):
    with pytest.raises(DataError, match=f"it holds .*{says}"):
        plain_picture(Image.fromarray(pixels), "it")


GREY = Image.fromarray(np.array([[0, 100, 255]], np.uint8))
ALPHA = Image.fromarray(np.array([[0, 128, 255]], np.uint8))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA", "palette", "colour key"])
def test_transparent_parts_show_the_background(mode):
    # 128 of 255 is opaque: 100 · 128/255 = 50.2, and 255 · 127/255 = 127 of white.
    expected = {1.0: [255, 177, 255], 0.0: [0, 50, 255], 0.2: [51, 76, 255]}
    if mode == "palette":
        picture = Image.new("P", (3, 1))
        picture.putpalette([grey for grey in (0, 100, 255) for _ in range(3)] + [0] * 759)
        picture.putdata([0, 1, 2])
        picture = stored(picture, transparency=bytes([0, 128, 255]))
        assert picture.mode == "P"
    elif mode == "colour key":
        picture = stored(GREY.convert("RGB"), transparency=(0, 0, 0))
        expected = {1.0: [255, 100, 255], 0.0: [0, 100, 255], 0.2: [51, 100, 255]}
        assert picture.mode == "RGB"
    elif mode == "LA":
        picture = Image.merge("LA", (GREY, ALPHA))
    else:
        picture = Image.merge("RGBA", (GREY, GREY, GREY, ALPHA)).convert(mode)
    for background, row in expected.items():
        found = plain_picture(picture, "it", background)
        assert found.mode == ("L" if mode == "LA" else "RGB")
        assert np.asarray(found.convert("L")).tolist() == [row]


def test_grey_of_16_bits_has_a_transparent_value():
    picture = stored(Image.fromarray(np.array([[7, 9, 65535]], np.uint16)), transparency=7)
    assert values(picture) == [[65535, 9, 65535]]
    assert values(picture, background=0) == [[0, 9, 65535]]


def test_what_the_background_hides_is_refused():
    glyph = np.full((4, 4, 4), 255, np.uint8)
    glyph[1:, :, 3] = 0
    with pytest.raises(DataError, match=r"it has one colour .* give load_data another background="):
        plain_picture(Image.fromarray(glyph), "it")
    assert np.asarray(plain_picture(Image.fromarray(glyph), "it", 0))[:, 0, 0].tolist() == [
        255, 0, 0, 0
    ]  # fmt: skip
    glyph[:, :, 3] = 0  # an empty picture is one colour on every background
    assert values(Image.fromarray(glyph)) == np.full((4, 4, 3), 255).tolist()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(np.array([[False, True]])), [[0, 255]]),
        (stored(Image.fromarray(np.array([[False, True]]))), [[0, 255]]),
        (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), [[[255, 0, 0]]]),
        (stored(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG").crop((0, 0, 1, 1)),
         [[[255, 0, 0]]]),
        (Image.new("HSV", (1, 1), (0, 255, 255)), [[[255, 0, 0]]]),
        (Image.new("YCbCr", (1, 1), (255, 128, 128)), [[[255, 255, 255]]]),
        (Image.new("RGBX", (1, 1), (1, 2, 3, 4)), [[[1, 2, 3]]]),
        (Image.new("P", (1, 1), 0), [[[0, 0, 0]]]),
    ],
    ids=["1", "1 PNG", "CMYK", "CMYK JPEG", "HSV", "YCbCr", "RGBX", "P"],
)  # fmt: skip
def test_other_modes_become_grey_or_rgb(picture, expected):
    assert values(picture) == expected


@pytest.mark.parametrize("mode", Image.MODES)
def test_every_mode_is_converted_or_refused(mode):
    try:
        found = plain_picture(Image.new(mode, (3, 2)), "it")
    except DataError:
        assert mode in ("I", "LAB")  # Pillow converts LAB in some builds only
    else:
        assert found.mode in ("L", "RGB", "F")
        assert found.size == (3, 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_camera_was(orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3)
    turn = {
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
        5: np.transpose, 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p.T, 2),
        8: np.rot90,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = stored(Image.fromarray(upright), exif=exif)
    assert values(picture) == turn(upright).tolist()


def test_damaged_exif_data_turn_nothing():
    picture = stored(Image.new("L", (3, 2), 9), "JPEG", exif=b"Exif\0\0no tags")
    assert plain_picture(picture, "it").size == (3, 2)


def test_of_an_animation_the_first_picture_counts(tmp_path):
    first, second = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert values(read_picture(tmp_path / "a.gif"))[0][0] == [255, 0, 0]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "PPM", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of TIFF
def test_damaged_files_are_refused(form, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    (tmp_path / "class").mkdir()
    file = tmp_path / "class" / "it.png"  # Pillow looks at the content
    Image.fromarray(pixels).save(file, form)
    whole = file.read_bytes()
    assert load_data(tmp_path)[0].shape == (1, 3, 32, 32)
    for kept in (len(whole) // 2, 20, 0):
        file.write_bytes(whole[:kept])
        why = "it is empty, 0 bytes" if kept == 0 else ".*"
        with pytest.raises(DataError, match=rf"it\.png\) cannot be read \({why}\); repair or"):
            load_data(tmp_path)
        try:
            late = Image.open(file)
        except Exception:
            continue
        with pytest.raises(DataError, match=r"it cannot be read \(.*\); repair or remove it"):
            plain_picture(late, "it")


def test_pictures_are_told_from_arrays():
    assert is_picture(GREY)
    assert not is_picture(np.zeros((2, 2)))
