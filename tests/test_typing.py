"""The type of progress: a float with a detail."""

import copy
import doctest
import pickle

from gdws_explorer import typing
from gdws_explorer.typing import Progress


def test_progress_is_a_float_with_a_detail():
    half = Progress(0.5, "layer3")
    assert (half, half.detail, isinstance(half, float)) == (0.5, "layer3", True)
    assert half + 0.25 == 0.75
    assert Progress(1).detail is None


def test_copies_keep_the_detail():
    half = Progress(0.5, ["a"])
    for other in (copy.copy(half), copy.deepcopy(half), pickle.loads(pickle.dumps(half))):
        assert (other, other.detail) == (0.5, ["a"])


def test_the_example():
    assert doctest.testmod(typing).failed == 0
