"""Checks of numbers that users give, with errors that name them."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any, SupportsFloat, TypeGuard

from gdws_explorer.errors import BudgetError, DataError, ExplorerError


def is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite real number; True and False are not numbers here."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def is_whole(value: object, least: int | None = None, most: int | None = None) -> TypeGuard[int]:
    """Whether `value` is a whole number, numpy's included, from `least` to `most`.

    True, False, and floats such as 2.0 are not whole numbers here.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        return False
    number = int(value)
    return (least is None or number >= least) and (most is None or number <= most)


def checked_whole(
    name: str,
    value: object,
    least: int = 1,
    most: int | None = None,
    *,
    error: type[ExplorerError] = DataError,
    expected: str = "",
) -> int:
    """Returns `value` as an int if it is a whole number from `least` to `most`.

    Parameters
    ----------
    name : str
        What the value is called in the error.
    value : object
        The value that the user gave.
    least, most : int
        The limits, both allowed; without `most` there is no upper limit.
    error : type
        The error to raise.
    expected : str
        What the error says was expected, in place of the limits.

    Examples
    --------
    >>> checked_whole("n", 0)
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.DataError: n is 0; expected a whole number from 1 up.
    """
    if not is_whole(value, least, most):
        limits = f"from {least} up" if most is None else f"from {least} to {most}"
        words = expected or f"a whole number {limits}"
        raise error(f"{name} is {value!r}; expected {words}.")
    return int(value)


def checked_number(
    name: str,
    value: object,
    expected: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    error: type[ExplorerError] = DataError,
) -> float:
    """Returns `value` as a float if it is a finite number within the given limits.

    above, below : limits that are not allowed themselves. least, most : limits that are allowed.
    expected : what the error says was expected.

    Examples
    --------
    >>> checked_number("lr", -1, "a positive number", above=0)
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.DataError: lr is -1; expected a positive number.
    """
    if not (
        is_number(value)
        and (above is None or value > above)
        and (least is None or value >= least)
        and (below is None or value < below)
        and (most is None or value <= most)
    ):
        raise error(f"{name} is {value!r}; expected {expected}.")
    return float(value)


def checked_fraction(
    name: str, value: object, expected: str, *, error: type[ExplorerError] = DataError
) -> float:
    """Returns `value` as a float if it lies in (0, 1]; `expected` is what the error asks for."""
    return checked_number(name, value, expected, above=0, most=1, error=error)


def checked_rank(name: str, value: object, most: int) -> int:
    """Returns `value` as a whole number from 1 to `most`; raises BudgetError otherwise.

    Other numbers with a whole value, such as 2.0 or a tensor of one element, are taken too.
    """
    try:
        whole = int(value)  # type: ignore[call-overload]
        good = whole == value and not isinstance(value, bool) and 1 <= whole <= most
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise BudgetError(f"{name} is {value}; expected a whole number from 1 to {most}.")
    return int(whole)


def checked_bound(name: str, value: SupportsFloat) -> float:
    """Returns `value` as a number ≥ 0, infinity allowed; raises BudgetError otherwise."""
    try:
        number = float("nan") if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number >= 0:
        raise BudgetError(f"{name} is {value}; expected a number ≥ 0.")
    return number


def checked_radius(name: str, value: object, norm: str = "linf") -> float:
    """Returns the radius of a ball: in (0, 1] for ℓ∞, any positive number for ℓ2.

    Raises DataError.
    """
    if norm == "l2":
        return checked_number(
            name, value,
            "a number above 0, the ℓ2 distance of images in [0, 1] (usually 128/255 or 0.5)",
            above=0,
        )  # fmt: skip
    return checked_fraction(
        name, value,
        "a number above 0 and at most 1, as images are in [0, 1] (write 8/255, not 8)",
    )  # fmt: skip


def checked_choice(
    name: str, value: Any, allowed: tuple[str, ...], *, error: type[ExplorerError] = DataError
) -> str:
    """Returns `value` if it is one of the `allowed` words; raises `error` otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise error(f"{name} is {value!r}; expected one of {', '.join(allowed)}.")
    return value


def checked_count(owner: str, name: str, value: object) -> int:
    """Returns a setting of `owner` as an int if it is a whole number from 1 up; else DataError."""
    if not is_whole(value, 1):
        raise DataError(f"{owner} has {name}={value!r}; expected a whole number from 1 up.")
    return int(value)


def check_flag(owner: str, name: str, value: object) -> None:
    """Raises DataError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise DataError(f"{owner} has {name}={value!r}; expected True or False.")
