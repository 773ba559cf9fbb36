"""Comparison of two evaluations on the same images, image by image."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import NamedTuple, Protocol

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.robust.interval import Z
from gdws_explorer.robust.report import Report
from gdws_explorer.typing import BoolArray


class PairedDifference(NamedTuple):
    """The difference of two accuracies that were measured on the same images.

    only_first, only_second : images on which only that network is correct. n : number of images.
    """

    only_first: int
    only_second: int
    n: int

    @property
    def difference(self) -> float:
        """The accuracy of the second network minus that of the first, a fraction."""
        return (self.only_second - self.only_first) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference (Agresti & Min, Statistics in Medicine, 2005)."""
        more, either = self.only_second - self.only_first, self.only_second + self.only_first
        n = self.n + 2  # half an image more in each cell of the table of pairs
        share, spread = more / n, sqrt(max(0.0, either + 1 - more**2 / n)) / n
        return max(-1.0, share - Z * spread), min(1.0, share + Z * spread)

    @property
    def p(self) -> float:
        """The two-sided p-value of McNemar's exact test: both networks are equally accurate."""
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
    """Protocol of a record: a report and the fingerprint of its images."""

    @property
    def report(self) -> Report: ...  # noqa: D102

    @property
    def data(self) -> str: ...  # noqa: D102


def compare(
    first: Report | RecordedReport, second: Report | RecordedReport, metric: str = "robust"
) -> PairedDifference:
    """Compares two reports, or records, of the same images, attack and seed.

    Parameters
    ----------
    first, second : Report or record
        The results of two networks.
    metric : {"robust", "clean"}
        The accuracy to compare.

    Returns
    -------
    PairedDifference
        The difference second minus first, with interval and p-value.

    Raises
    ------
    DataError
        The images, the attacks or the seeds differ, or a report has no results image by image, as
        early records have none.
    """
    if metric not in ("robust", "clean"):
        raise DataError(f"metric is {metric!r}; expected 'robust' or 'clean'.")
    images = {each.data for each in (first, second) if not isinstance(each, Report)}
    if len(images) > 1:
        raise DataError(
            f"the records are of the images {' and '.join(sorted(images))}; expected the same."
        )
    first, second = _report(first), _report(second)
    name = f"{metric}_mask"
    first_mask, second_mask = getattr(first, name), getattr(second, name)
    if first_mask is None or second_mask is None:
        raise DataError(
            f"a report has no {metric} results image by image; measure both networks again."
        )
    same = (first.n, first.seed) == (second.n, second.seed)
    if not same or (metric == "robust" and first.attack != second.attack):
        raise DataError(
            f"the reports are of n {first.n} and {second.n}, seeds {first.seed} and {second.seed}, "
            f"{_label(first)} and {_label(second)}; expected the same."
        )
    return paired_difference(first_mask, second_mask)


def paired_difference(first: BoolArray, second: BoolArray) -> PairedDifference:
    """Returns the difference of two masks of correct images, bool `(n,)` each."""
    lost, gained = np.count_nonzero(first & ~second), np.count_nonzero(~first & second)
    return PairedDifference(int(lost), int(gained), len(first))


def _report(given: Report | RecordedReport) -> Report:
    return given if isinstance(given, Report) else given.report


def _label(report: Report) -> str:
    return "no attack" if report.attack is None else report.attack.label
