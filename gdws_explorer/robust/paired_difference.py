"""Two measurements of the same images, image by image."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import NamedTuple, Protocol

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.robust.interval import Z
from gdws_explorer.robust.report import Report


class PairedDifference(NamedTuple):
    """What one network gets right and another does not.

    only_first, only_second : images that only one of them is right on. n : images.
    """

    only_first: int
    only_second: int
    n: int

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first, a fraction."""
        return (self.only_second - self.only_first) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Of the difference, 95 % (Agresti & Min, Statistics in Medicine, 2005)."""
        more, either = self.only_second - self.only_first, self.only_second + self.only_first
        n = self.n + 2  # half an image more in each cell of the table of pairs
        share, spread = more / n, sqrt(max(0.0, either + 1 - more**2 / n)) / n
        return max(-1.0, share - Z * spread), min(1.0, share + Z * spread)

    @property
    def p(self) -> float:
        """Of McNemar's exact test that both are equally good: a fair coin, from both sides."""
        either, least = self.only_first + self.only_second, min(self.only_first, self.only_second)
        ways, tail = 1, 0
        for k in range(least + 1):
            tail += ways
            ways = ways * (either - k) // (k + 1)
        return min(1.0, float(Fraction(2 * tail, 2**either)))

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{100 * self.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
            f"{self.only_first} against {self.only_second} of {self.n} images, p {self.p:.2g}"
        )


class RecordedReport(Protocol):
    """A record: its report, and the fingerprint of the images."""

    @property
    def report(self) -> Report: ...  # noqa: D102

    @property
    def data(self) -> str: ...  # noqa: D102


def compare(
    first: Report | RecordedReport, second: Report | RecordedReport, metric: str = "robust"
) -> PairedDifference:
    """Compare two reports, or records, of the same images, attack and seed.

    metric : "robust" or "clean". Raises DataError where they are not of the same images or do not
    hold the verdicts image by image, as early records do not.
    """
    if metric not in ("robust", "clean"):
        raise DataError(f"metric is {metric!r}; expected 'robust' or 'clean'.")
    images = {one.data for one in (first, second) if not isinstance(one, Report)}
    if len(images) > 1:
        raise DataError(
            f"the records are of the images {' and '.join(sorted(images))}; expected the same."
        )
    first, second = _report(first), _report(second)
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
    return paired_difference(one, other)


def paired_difference(first: np.ndarray, second: np.ndarray) -> PairedDifference:
    """Compare two verdicts on the same images, bool `(n,)` each."""
    gone, came = np.count_nonzero(first & ~second), np.count_nonzero(~first & second)
    return PairedDifference(int(gone), int(came), len(first))


def _report(given: Report | RecordedReport) -> Report:
    return given if isinstance(given, Report) else given.report


def _label(report: Report) -> str:
    return "no attack" if report.attack is None else report.attack.label
