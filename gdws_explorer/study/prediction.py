"""Prediction of a plan's accuracy from records of other plans."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gdws_explorer.study.records import Record

# Relative errors below this count as this: the dense network needs a place on the logarithmic axis.
FLOOR = 1e-8


def warm_up() -> threading.Thread:
    """Starts to import what `predict` needs, in a thread; it takes a third of a second."""
    loading = threading.Thread(
        target=importlib.import_module, args=("scipy.optimize",), daemon=True
    )
    loading.start()
    return loading


def predict(records: Iterable[Record], error: float, metric: str = "robust") -> float | None:
    """Predicts the accuracy of a plan from records of the same setting.

    The accuracies are made monotone (less error, no less accuracy: isotonic least squares,
    each record weighted by its n) and interpolated over the logarithm of the relative error;
    outside the range of the records the value is that of the nearest one.

    Parameters
    ----------
    records : iterable of Record
        Records of one setting; those without the metric are ignored.
    error : float
        The plan's relative error, `Summary.relative_error`.
    metric : {"robust", "clean"}

    Returns
    -------
    float or None
        A fraction in [0, 1]; None where fewer than two records have the metric.
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
    place, member = np.unique(_log(errors), return_inverse=True)
    weights = np.bincount(member, counts)
    means = np.bincount(member, counts * accuracies) / weights
    falling = isotonic_regression(means, weights=weights, increasing=False).x
    return float(np.interp(_log(np.array(error)), place, falling))


def _log(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(errors, FLOOR))
