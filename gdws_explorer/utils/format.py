"""Numbers, durations and errors as text for people."""

from __future__ import annotations

import os
from collections.abc import Sequence


def millions(number: float) -> str:
    """Returns a number with three digits and a unit: `2.4 M`, `288 k`, `17`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def with_interval(fraction: float, interval: tuple[float, float], digits: int = 1) -> str:
    """Returns a fraction and its interval in per cent: `93.1% (90.1% to 95.2%)`."""
    low, high = interval
    return f"{fraction:.{digits}%} ({low:.{digits}%} to {high:.{digits}%})"


def eps_text(eps: float) -> str:
    """Returns a radius as `k/255` for the usual integers of 8-bit images, else as a number."""
    k = round(eps * 255)
    return f"{k}/255" if abs(eps * 255 - k) < 1e-9 and k < 255 else f"{eps:.4g}"


def duration(seconds: float) -> str:
    """Returns a duration, as exact as an estimate is: `20 s`, `2 min`, `1 h 10 min`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, tens = divmod(round(minutes / 10), 6)
    return f"{hours} h {10 * tens} min" if tens else f"{hours} h"


def clock(seconds: float) -> str:
    """Returns a duration as `1:05` (minutes and seconds) or `2:03:05` (with hours)."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def some_of(names: Sequence[str], shown: int = 3) -> str:
    """Returns the first names, and how many more there are: `a, b, c and 2 more`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message without its full stop.

    An error without a message gives the name of its class.
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def printable(name: str | os.PathLike[str]) -> str:
    r"""Returns a name as one line that every terminal prints, with escapes for other characters.

    >>> printable("caf\udce9.png")
    'caf\\udce9.png'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in os.fspath(name)
    )
