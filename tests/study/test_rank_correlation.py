"""Spearman's ρ of errors and losses."""

import numpy as np
import pytest
from scipy.stats import spearmanr

import gdws_explorer as gx
from gdws_explorer.study.rank_correlation import spearman


def _layers(count, points, noise, seed=0):
    random = np.random.default_rng(seed)
    errors = [np.sort(random.uniform(size=points)) for _ in range(count)]
    losses = [np.round(e + noise * random.normal(size=points), 1) for e in errors]  # with ties
    return errors, losses


def test_it_is_scipys_rho_ties_included():
    errors, losses = _layers(6, 5, 0.3)
    found = spearman(errors, losses)
    expected = spearmanr(np.concatenate(errors), np.concatenate(losses))
    assert found.rho == pytest.approx(expected.statistic, abs=1e-12)
    assert (found.n, found.layers, found.why) == (30, 6, "")
    within = [spearmanr(e, x).statistic for e, x in zip(errors, losses, strict=True)]
    assert found.within == pytest.approx(np.nanmedian(within), abs=1e-12)


def test_the_interval_holds_rho_and_is_the_same_every_time():
    errors, losses = _layers(12, 5, 0.3)
    found = spearman(errors, losses)
    low, high = found.interval
    assert low < found.rho < high < 1
    assert spearman(errors, losses) == found
    wider = spearman(errors[:5], losses[:5]).interval
    assert wider[1] - wider[0] > high - low


@pytest.mark.slow
def test_it_covers_the_truth_about_as_often_as_it_says():
    """Of layers that are drawn from many, the interval holds the many's own ρ."""
    errors, losses = _layers(300, 5, 0.3, seed=1)
    truth = spearman(errors, losses).rho
    random = np.random.default_rng(2)
    held = 0
    for _ in range(30):
        which = random.choice(300, 12, replace=False)
        low, high = spearman([errors[i] for i in which], [losses[i] for i in which]).interval
        held += low <= truth <= high
    assert held >= 24


def test_a_perfect_and_a_reversed_order():
    errors = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert spearman(errors, [[0, 1, 2], [3, 4, 5]]).rho == pytest.approx(1)
    assert spearman(errors, [[5, 4, 3], [2, 1, 0]]).rho == pytest.approx(-1)


def test_few_layers_have_no_interval():
    found = spearman([[0.1, 0.2, 0.3]], [[0.0, 0.1, 0.1]])
    assert found.interval is None
    assert found.rho == pytest.approx(spearmanr([1, 2, 3], [0, 1, 1]).statistic)


@pytest.mark.parametrize(
    ("errors", "losses", "why"),
    [
        ([[0.1, 0.2], [0.3, 0.4]], [[0.0, 0.0], [0.0, 0.0]], "all 4 losses are equal"),
        ([[0.1, 0.1], [0.1, 0.1]], [[0.0, 0.1], [0.2, 0.0]], "all 4 errors are equal"),
        ([[0.1, 0.2]], [[0.0, 0.1]], r"too few points are measured (2)"),
        ([[0.1, 0.2, 0.3]], [[np.nan, 0.1, np.nan]], r"too few points are measured (1)"),
        ([], [], r"too few points are measured (0)"),
    ],
)
def test_where_it_is_undefined_it_says_why(errors, losses, why):
    found = spearman(errors, losses)
    assert found.rho is None
    assert found.interval is None
    assert why in found.why


def test_points_that_are_not_measured_are_left_out():
    found = spearman([[1, 2, 3, 4]], [[0, np.nan, 2, 1]])
    assert found.n == 3
    assert found.rho == pytest.approx(0.5)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(gx.ExplorerError, match="expected one loss for every error"):
        spearman([[1, 2, 3]], [[0, 1]])
