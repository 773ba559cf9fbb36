"""Prediction of a plan's accuracy from records of other plans."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray

# Relative errors below this count as this: the dense network needs a place on the logarithmic axis.
FLOOR = 1e-8


def warm_up() -> threading.Thread:
    """Starts to import what `predict` needs, in a thread; it takes a third of a second."""
    loading = threading.Thread(
        target=importlib.import_module, args=("scipy.optimize",), daemon=True
    )
    loading.start()
    return loading


class AccuracyCurve(NamedTuple):
    """Accuracy as a falling function of the relative error, fitted to measured plans.

    errors : logarithms of relative errors, rising `(m,)`. accuracies : fractions `(m,)`.
    """

    errors: FloatArray
    accuracies: FloatArray

    def at(self, error: float) -> float:
        """Returns the accuracy at a relative error; beyond the ends, the nearest value."""
        return float(np.interp(np.log(max(error, FLOOR)), self.errors, self.accuracies))


def fit(records: Iterable[Record], metric: str = "robust") -> AccuracyCurve | None:
    """Fits the accuracy of plans to their relative error, from records of the same setting.

    The accuracies are made monotone (less error, no less accuracy: isotonic least squares, each
    record weighted by its n), over the logarithm of the relative error.

    Parameters
    ----------
    records : iterable of Record
        Records of one setting; those without the metric are ignored.
    metric : {"robust", "clean"}

    Returns
    -------
    AccuracyCurve or None
        None where fewer than two records have the metric.
    """
    points = [
        (record.relative_error, accuracy, record.n)
        for record in records
        if (accuracy := record.accuracy(metric)) is not None
    ]
    if len(points) < 2:
        return None
    from scipy.optimize import isotonic_regression  # slow to import

    errors, accuracies, counts = np.array(points, dtype=np.float64).T
    # Records of equal error are one point: their mean, with the sum of their counts.
    place, member = np.unique(np.log(np.maximum(errors, FLOOR)), return_inverse=True)
    weights = np.bincount(member, counts)
    means = np.bincount(member, counts * accuracies) / weights
    falling = isotonic_regression(means, weights=weights, increasing=False).x
    return AccuracyCurve(place, falling)


def predict(records: Iterable[Record], error: float, metric: str = "robust") -> float | None:
    """Predicts the accuracy of a plan from records of the same setting.

    Parameters
    ----------
    records, metric : as in `fit`.
    error : float
        The plan's relative error, `Summary.relative_error`.

    Returns
    -------
    float or None
        A fraction in [0, 1], interpolated; None where fewer than two records have the metric.
    """
    curve = fit(records, metric)
    return None if curve is None else curve.at(error)
