"""Types that appear in the signatures of every room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

Cancel = Callable[[], bool] | threading.Event | None
"""A request to stop: a function that returns True, an event that is set, or None for no request."""


class Progress(float):
    """Progress of long work: the finished fraction from 0 to 1, and what the work knows so far.

    It is a float, so that a function of one number can be given as `progress=`.

    Parameters
    ----------
    fraction : float
        The finished part, from 0 to 1.
    detail : object, optional
        What the work knows so far, such as a `PartialReport`; None where it knows nothing more.

    Examples
    --------
    >>> half = Progress(0.5, detail="layer3")
    >>> f"{half:.0%}", half.detail
    ('50%', 'layer3')
    """

    detail: Any

    def __new__(cls, fraction: float, detail: Any = None) -> Progress:
        """Makes the number and attach the detail."""
        made = super().__new__(cls, fraction)
        made.detail = detail
        return made


ProgressFn = Callable[[Progress], object]
"""A function that is called with a `Progress`; one that takes a plain float is accepted as well."""

AnyProgressFn = ProgressFn | Callable[[float, Any], object]
"""A `ProgressFn`, or the older form with two arguments: the fraction and the detail.

`gdws_explorer.utils.progress.progress_fn` makes the first of the second.
"""
