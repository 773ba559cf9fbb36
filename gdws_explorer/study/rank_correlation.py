"""Spearman's rank correlation of analytic errors and measured losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gdws_explorer.errors import ExplorerError
from gdws_explorer.typing import FloatArray

DRAWS = 500
LEAST_POINTS, LEAST_LAYERS = 3, 4


class RankCorrelation(NamedTuple):
    """Spearman's ρ of errors and losses.

    rho : in [-1, 1]; None where it is undefined, with the reason in `why`. interval : 95 %, by a
    bootstrap over whole layers (the points of one layer are not independent); None for fewer than
    four layers. within : the median of the layers' own ρ, or None. n, layers : numbers of points
    and layers.
    """

    rho: float | None
    interval: tuple[float, float] | None
    within: float | None
    n: int
    layers: int
    why: str = ""


def spearman(
    errors: Sequence[npt.ArrayLike], losses: Sequence[npt.ArrayLike], seed: int = 0
) -> RankCorrelation:
    """Compares errors with losses, one array of each per layer; equal values share their mean rank.

    Points with a NaN, such as steps that are not measured, are left out. Raises ExplorerError where
    the arrays do not fit.
    """
    pairs = [_finite(e, x) for e, x in zip(errors, losses, strict=True)]
    pairs = [pair for pair in pairs if len(pair)]
    points = np.concatenate([np.empty((0, 2)), *pairs])
    n, layers = len(points), len(pairs)
    if n < LEAST_POINTS:
        why = f"too few points are measured ({n}); it needs at least {LEAST_POINTS}"
        return RankCorrelation(None, None, None, n, layers, why)
    for column, name in ((0, "errors"), (1, "losses")):
        if np.ptp(points[:, column]) == 0:
            why = f"all {n} {name} are equal, so their order says nothing"
            return RankCorrelation(None, None, None, n, layers, why)
    own = [rho for pair in pairs if len(pair) >= LEAST_POINTS for rho in [_rho(pair)]]
    known = [rho for rho in own if not np.isnan(rho)]
    return RankCorrelation(
        rho=_rho(points),
        interval=_interval(pairs, seed) if layers >= LEAST_LAYERS else None,
        within=float(np.median(known)) if known else None,
        n=n,
        layers=layers,
    )


def _interval(pairs: Sequence[FloatArray], seed: int) -> tuple[float, float] | None:
    """Returns percentiles of ρ over layers drawn with replacement, without undefined ρ."""
    random = np.random.default_rng(seed)
    drawn = random.integers(len(pairs), size=(DRAWS, len(pairs)))
    found = np.array([_rho(np.concatenate([pairs[i] for i in which])) for which in drawn])
    found = found[~np.isnan(found)]
    if len(found) < DRAWS // 2:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _rho(points: FloatArray) -> float:
    """Returns ρ of two columns; NaN where one of them is constant."""
    from scipy.stats import rankdata  # slow to import

    ranks = rankdata(points, axis=0)
    centred = ranks - ranks.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0).prod())
    return float(np.clip(centred.prod(axis=1).sum() / scale, -1, 1)) if scale else float("nan")


def _finite(errors: npt.ArrayLike, losses: npt.ArrayLike) -> FloatArray:
    e, x = np.asarray(errors, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if e.shape != x.shape or e.ndim != 1:
        raise ExplorerError(
            f"a layer has errors of shape {e.shape} and losses of shape {x.shape}; expected one "
            "loss for every error."
        )
    both = np.stack([e, x], axis=1)
    return both[np.isfinite(both).all(axis=1)]
