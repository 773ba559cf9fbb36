"""Checks of numbers, and the errors that name them."""

import numpy as np
import pytest
import torch

from gdws_explorer.errors import BudgetError, DataError, ModelError
from gdws_explorer.utils.checks import (
    check_flag,
    checked_bound,
    checked_choice,
    checked_count,
    checked_fraction,
    checked_number,
    checked_radius,
    checked_rank,
    checked_whole,
    is_number,
    is_whole,
)

NOT_WHOLE = [True, 1.0, 2.5, "2", None, float("nan"), [1]]


@pytest.mark.parametrize("value", [0, -3, 10**30, np.int64(4), np.uint8(4)])
def test_whole_numbers(value):
    assert is_whole(value)
    assert type(checked_whole("n", value, -3)) is int


@pytest.mark.parametrize("value", NOT_WHOLE)
def test_what_is_not_a_whole_number(value):
    assert not is_whole(value)
    with pytest.raises(DataError, match=r"^n is .*; expected a whole number from 1 up\.$"):
        checked_whole("n", value)


def test_limits_are_allowed_and_named():
    assert (checked_whole("n", 2, 2, 3), checked_whole("n", 3, 2, 3)) == (2, 3)
    for value in (1, 4):
        with pytest.raises(ModelError, match=f"n is {value}; expected a whole number from 2 to 3"):
            checked_whole("n", value, 2, 3, error=ModelError)
    with pytest.raises(DataError, match=r"^size is 0; expected a number of pixels\.$"):
        checked_whole("size", 0, expected="a number of pixels")


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2)])
def test_numbers(value):
    assert is_number(value)
    assert checked_number("lr", value, "a number") == value


@pytest.mark.parametrize("value", [True, "1", None, float("inf"), float("nan"), 1j])
def test_what_is_not_a_number(value):
    assert not is_number(value)
    with pytest.raises(DataError, match=r"^lr is .*; expected a rate\.$"):
        checked_number("lr", value, "a rate")


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        ({"above": 0}, [1e-9], [0, -1]),
        ({"least": 0}, [0], [-1e-9]),
        ({"below": 1}, [0.999], [1]),
        ({"most": 1}, [1], [1.001]),
    ],
)
def test_limits_of_numbers(limits, inside, outside):
    for value in inside:
        assert checked_number("x", value, "a number", **limits) == value
    for value in outside:
        with pytest.raises(DataError):
            checked_number("x", value, "a number", **limits)


def test_fractions_and_radii():
    assert checked_fraction("macs", 1, "a fraction") == 1.0
    for value in (0, 1.5):
        with pytest.raises(BudgetError, match=f"macs is {value}"):
            checked_fraction("macs", value, "a fraction", error=BudgetError)
    assert checked_radius("eps", 8 / 255) == 8 / 255
    assert checked_radius("eps", 3, "l2") == 3.0
    with pytest.raises(DataError, match=r"eps is 8; .*write 8/255, not 8"):
        checked_radius("eps", 8)
    with pytest.raises(DataError, match="ℓ2 distance"):
        checked_radius("eps", 0, "l2")


def test_ranks_take_whole_values_of_other_types():
    assert checked_rank("G", torch.tensor(3), 4) == checked_rank("G", 3.0, 4) == 3
    for value in (0, 5, 2.5, True, "x", float("inf")):
        with pytest.raises(BudgetError, match="expected a whole number from 1 to 4"):
            checked_rank("G", value, 4)


def test_bounds_may_be_infinite():
    assert checked_bound("beta", float("inf")) == float("inf")
    for value in (-1, "1", float("nan")):
        with pytest.raises(BudgetError, match="expected a number ≥ 0"):
            checked_bound("beta", value)


def test_settings_of_an_owner():
    assert checked_count("PGD", "steps", np.int32(3)) == 3
    with pytest.raises(DataError, match=r"^PGD has steps=0; expected a whole number from 1 up\.$"):
        checked_count("PGD", "steps", 0)
    check_flag("PGD", "random_start", False)
    with pytest.raises(DataError, match="expected True or False"):
        check_flag("PGD", "random_start", 1)
    assert checked_choice("method", "pgd", ("pgd", "fast")) == "pgd"
    for value in ("trades", None, ["pgd"]):
        with pytest.raises(DataError, match="expected one of pgd, fast"):
            checked_choice("method", value, ("pgd", "fast"))
