"""Images of every kind become float32 tensors in [0, 1] with channels first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gdws_explorer.bench.image_tensors import (
    channels_first,
    picture,
    resized,
    resizing,
    tensor_of,
    unit_range,
)
from gdws_explorer.errors import DataError


def test_arrays_share_memory_and_read_only_ones_are_copied():
    array = np.zeros((2, 3))
    tensor_of(array, "the images")[0, 0] = 1
    assert array[0, 0] == 1
    array.flags.writeable = False
    tensor_of(array, "the images")[0, 0] = 2
    assert array[0, 0] == 1
    with pytest.raises(DataError, match="the labels are dict; expected a tensor or an array"):
        tensor_of({}, "the labels")


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
        (torch.tensor([0.0, 200.0]), "divide 8-bit values by 255"),
    ],
)
def test_other_ranges_are_refused(images, says):
    with pytest.raises(DataError, match=says):
        unit_range(images)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("P", 3), ("RGBA", 3)])
def test_pictures_are_grey_or_rgb(mode, channels):
    found = picture(Image.new(mode, (6, 4)), None, None)
    assert found.shape == (channels, 4, 6)
    assert found.dtype == torch.float32


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
