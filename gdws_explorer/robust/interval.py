"""Confidence intervals of measured accuracies."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from gdws_explorer.errors import DataError

Z = 1.959963984540054  # 95 % of the normal distribution lie within so many deviations


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's score interval of the fraction `correct / n`.

    Parameters
    ----------
    correct, n : int
        The successes among n trials, 0 ≤ correct ≤ n, n ≥ 1.
    level : float
        The coverage, in (0, 1).

    Returns
    -------
    low, high : float
        Both in [0, 1]; correct / n lies between them.

    Raises
    ------
    DataError
        Counts or level are outside their range.

    Notes
    -----
    Source: E. B. Wilson, JASA 22 (1927), 209-212.

    Examples
    --------
    >>> "{:.3f} to {:.3f}".format(*wilson(50, 100))
    '0.404 to 0.596'
    """
    if not 0 < level < 1:
        raise DataError(f"the level of an interval is {level}; expected a number between 0 and 1.")
    if n < 1 or not 0 <= correct <= n:
        raise DataError(f"correct is {correct} and n is {n}; expected 0 ≤ correct ≤ n and n ≥ 1.")
    z = Z if level == 0.95 else NormalDist().inv_cdf(0.5 + level / 2)
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not push the interval past 0, 1 or the fraction itself.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


class AccuracyCounts:
    """Mixin: Wilson intervals from counts of correct images.

    n : number of images. clean_correct, robust_correct : counts of correct images; robust_correct
    is None without an attack.
    """

    n: int
    clean_correct: int
    robust_correct: int | None

    @property
    def clean_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the clean accuracy."""
        return wilson(self.clean_correct, self.n)

    @property
    def robust_interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval of the robust accuracy; None without an attack."""
        return None if self.robust_correct is None else wilson(self.robust_correct, self.n)
