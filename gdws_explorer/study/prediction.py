"""Where a plan will land before it is measured."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gdws_explorer.study.records import Record

# A relative error below this cannot be told from none; it gives the dense network its place on
# the logarithmic axis.
FLOOR = 1e-8


def warm_up() -> threading.Thread:
    """Begin to load what `predict` needs, a third of a second, beside everything else."""
    loading = threading.Thread(
        target=importlib.import_module, args=("scipy.optimize",), daemon=True
    )
    loading.start()
    return loading


def predict(records: Iterable[Record], error: float, metric: str = "robust") -> float | None:
    """Guess the accuracy of a plan from records of the same setting.

    The accuracies are made monotone (less error, no less accuracy: isotonic least squares,
    each record weighing its n) and interpolated over the logarithm of the relative error;
    outside the records the nearest one's value is kept.

    Parameters
    ----------
    records : iterable of Record
        Records of one setting; those without the metric are passed over.
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
    # Records of one error are one point: their mean, with their counts together.
    place, member = np.unique(_log(errors), return_inverse=True)
    weights = np.bincount(member, counts)
    means = np.bincount(member, counts * accuracies) / weights
    falling = isotonic_regression(means, weights=weights, increasing=False).x
    return float(np.interp(_log(np.array(error)), place, falling))


def _log(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(errors, FLOOR))
