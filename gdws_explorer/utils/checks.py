"""Checks of numbers that users pass, with errors that name them."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import SupportsFloat

from gdws_explorer.errors import BudgetError, DataError


def checked_rank(name: str, value: object, most: int) -> int:
    """`value` as a whole number from 1 to `most`; BudgetError names it otherwise."""
    try:
        whole = int(value)  # type: ignore[call-overload]
        good = whole == value and not isinstance(value, bool) and 1 <= whole <= most
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise BudgetError(f"{name} is {value}; expected a whole number from 1 to {most}.")
    return int(whole)


def checked_bound(name: str, value: SupportsFloat) -> float:
    """`value` as a number ≥ 0, infinity allowed; BudgetError names it otherwise."""
    try:
        number = float("nan") if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number >= 0:
        raise BudgetError(f"{name} is {value}; expected a number ≥ 0.")
    return number


def is_number(value: object) -> bool:
    """Whether it is a finite real number, True and False not among them."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def checked_radius(name: str, value: object, norm: str = "linf") -> float:
    """A ball's radius: in (0, 1] for ℓ∞, any positive number for ℓ2. Raises DataError."""
    if norm == "l2":
        if not is_number(value) or not value > 0:  # type: ignore[operator]
            raise DataError(
                f"{name} is {value!r}; expected a number above 0, the ℓ2 distance of images in"
                " [0, 1] (usually 128/255 or 0.5)."
            )
    elif not is_number(value) or not 0 < value <= 1:  # type: ignore[operator]
        raise DataError(
            f"{name} is {value!r}; expected a number above 0 and at most 1, as images are in [0, 1]"
            " (write 8/255, not 8)."
        )
    return float(value)  # type: ignore[arg-type]


def checked_count(owner: str, name: str, value: object) -> int:
    """A count, at least 1. Raises DataError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise DataError(f"{owner} has {name}={value!r}; expected a whole number from 1 up.")
    return int(value)


def check_flag(owner: str, name: str, value: object) -> None:
    """Raises DataError unless it is True or False."""
    if not isinstance(value, bool):
        raise DataError(f"{owner} has {name}={value!r}; expected True or False.")
