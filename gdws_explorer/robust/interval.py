"""How far a measured accuracy can be from the true one."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from gdws_explorer.errors import DataError

Z = 1.959963984540054  # of the normal distribution, 95 % lie within so many deviations


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of the fraction `correct / n`.

    Parameters
    ----------
    correct, n : the successes among n trials, 0 ≤ correct ≤ n, n ≥ 1.
    level : the coverage, in (0, 1).

    Returns
    -------
    (low, high), both in [0, 1] and around correct / n.

    Raises
    ------
    DataError : counts or level outside their range.

    Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    if not 0 < level < 1:
        raise DataError(f"the level of an interval is {level}; expected a number between 0 and 1.")
    if n < 1 or not 0 <= correct <= n:
        raise DataError(
            f"{correct} correct of {n} images is no fraction; expected 0 ≤ correct ≤ n and n ≥ 1."
        )
    z = Z if level == 0.95 else NormalDist().inv_cdf(0.5 + level / 2)
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not push the interval past 0, 1 or the fraction itself.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


class AccuracyCounts:
    """What has images counted right among `n` has intervals.

    clean_correct, robust_correct : the counts; robust_correct is None where nothing attacked.
    """

    n: int
    clean_correct: int
    robust_correct: int | None

    @property
    def clean_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the clean accuracy."""
        return wilson(self.clean_correct, self.n)

    @property
    def robust_interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the robust accuracy."""
        return None if self.robust_correct is None else wilson(self.robust_correct, self.n)
