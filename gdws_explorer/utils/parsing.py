"""Numbers from texts that users type, with errors that name them."""

from __future__ import annotations

from gdws_explorer.errors import DataError


def parse_percent(name: str, text: str) -> float | None:
    """Returns `45` or `45 %` as the fraction 0.45, and an empty text as None; else DataError."""
    number = text.strip().rstrip("%").strip().replace(",", ".")
    if not number:
        return None
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise DataError(f"{name} is {text!r}; expected per cent from 0 to 100, or nothing.")
    return value / 100


def parse_radius(name: str, text: str) -> float:
    """Returns `0.15` or `8/255` as a number; DataError for another text."""
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise DataError(f"{name} is {text!r}; expected a number such as 0.15 or 8/255.") from None
