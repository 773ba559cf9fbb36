"""Images of every kind become float32 tensors in [0, 1] with channels first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gdws_explorer.bench.image_tensors import (
    channels_first,
    check_not_faint,
    is_floating,
    picture,
    resized,
    resizing,
    unit_range,
)
from gdws_explorer.errors import DataError


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((5, 3, 8, 9), None, (5, 3, 8, 9)),
        ((5, 8, 9, 3), None, (5, 3, 8, 9)),
        ((8, 9, 1), None, (1, 8, 9)),
        ((5, 8, 9, 4), "NHWC", (5, 4, 8, 9)),
    ],
)
def test_channels_come_first(shape, layout, expected):
    assert channels_first(torch.rand(shape), layout).shape == expected


@pytest.mark.parametrize("shape", [(5, 3, 8, 3), (5, 4, 8, 9)])
def test_an_unclear_layout_is_refused(shape):
    with pytest.raises(DataError, match='give layout="NCHW" or'):
        channels_first(torch.rand(shape))


def test_bytes_become_fractions():
    found = unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert found.dtype == torch.float32
    assert torch.allclose(found, torch.tensor([0, 0.2, 1]))


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.tensor([3]), "the images are int64; expected uint8"),
        (torch.tensor([3], dtype=torch.uint16), "are uint16; .*: divide them by .* 65535 of 16"),
        (torch.tensor([True]), "the images are bool; .*: convert them to float32"),
        (torch.tensor([0.0, 200.0]), "divide 8-bit values by 255"),
    ],
)
def test_other_ranges_are_refused(images, says):
    with pytest.raises(DataError, match=says):
        unit_range(images)


def test_images_of_0_and_1_in_bytes_are_refused():
    for largest in (0, 2 / 255, 1):
        check_not_faint(largest)
    for largest in (1 / 255, 255 / 65535):
        with pytest.raises(DataError, match="multiply bytes of 0 and 1 by 255, or give floating"):
            check_not_faint(largest)
    assert is_floating(np.zeros(1, ">f4"))
    assert is_floating(torch.zeros(1).half())
    assert is_floating(Image.new("F", (1, 1)))
    assert not is_floating(Image.new("L", (1, 1)))
    assert not is_floating(np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("F", 1), ("RGB", 3), ("P", 3), ("RGBA", 3)],
)
def test_pictures_are_grey_or_rgb(mode, channels):
    found = picture(Image.new(mode, (6, 4)), None, None)
    assert found.shape == (channels, 4, 6)
    assert found.dtype == torch.float32
    assert picture(Image.new(mode, (6, 4)), resizing(2), None).shape == (channels, 2, 2)
    assert picture(Image.new(mode, (6, 4)), None, None, colour=True).shape == (3, 4, 6)


def test_resizing_takes_the_centre_and_keeps_the_range():
    resize = resizing(4)
    found = resized(torch.rand(2, 3, 8, 12), resize)
    assert found.shape == (2, 3, 4, 4)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert resizing(None) is None
    images = torch.rand(1, 3, 5, 5)
    assert resized(images, None) is images
    with pytest.raises(DataError, match="size is 0; expected a whole number of pixels"):
        resizing(0)
