"""Two measurements of the same images, image by image."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.robust.report import Report

Z = 1.959963984540054


class Paired(NamedTuple):
    """What one network gets right and another does not.

    only_first, only_second : images that only one of them is right on. n : images. difference :
    accuracy of the second less that of the first, a fraction. interval : 95 %, Agresti & Min
    (Statistics in Medicine, 2005). p : of McNemar's exact test that both are equally good.
    """

    only_first: int
    only_second: int
    n: int
    difference: float
    interval: tuple[float, float]
    p: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{100 * self.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
            f"{self.only_first} against {self.only_second} of {self.n} images, p {self.p:.2g}"
        )


def compare(first: Report, second: Report, metric: str = "robust") -> Paired:
    """Compare two reports of the same images, attack and seed.

    metric : "robust" or "clean". Raises DataError where the reports are not of the same images or
    do not hold the verdicts, as those that were read from records do not.
    """
    if metric not in ("robust", "clean"):
        raise DataError(f"metric is {metric!r}; expected 'robust' or 'clean'.")
    name = f"{metric}_mask"
    one, other = getattr(first, name), getattr(second, name)
    if one is None or other is None:
        raise DataError(
            f"a report holds no {metric} verdicts image by image; measure both networks again."
        )
    alike = (first.n, first.seed) == (second.n, second.seed)
    if not alike or (metric == "robust" and first.attack != second.attack):
        raise DataError(
            f"the reports are of n {first.n} and {second.n}, seeds {first.seed} and {second.seed}, "
            f"{_label(first)} and {_label(second)}; expected the same."
        )
    return paired(one, other)


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two verdicts on the same images, bool `(n,)` each."""
    gone = int(np.count_nonzero(first & ~second))
    came = int(np.count_nonzero(~first & second))
    n = len(first)
    # Half an image more in each cell of the table of pairs.
    share = (came - gone) / (n + 2)
    spread = sqrt(max(0.0, (came + gone + 1) - (came - gone) ** 2 / (n + 2))) / (n + 2)
    interval = max(-1.0, share - Z * spread), min(1.0, share + Z * spread)
    return Paired(gone, came, n, (came - gone) / n, interval, _mcnemar(gone, came))


def _mcnemar(gone: int, came: int) -> float:
    """The exact two-sided p of a fair coin."""
    if gone + came == 0:
        return 1.0
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(min(gone, came), gone + came, 0.5).pvalue)


def _label(report: Report) -> str:
    return "no attack" if report.attack is None else report.attack.label
