import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gdws_explorer.study.pareto import MANY, front

# Few distinct values, so that ties, duplicates and NaN are the rule and not the exception.
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, float("inf"), float("-inf"), float("nan")])


@st.composite
def tables(draw):
    d = draw(st.integers(1, 3))
    table = draw(arrays(np.float64, (draw(st.integers(0, 40)), d), elements=VALUES))
    return table, draw(st.lists(st.booleans(), min_size=d, max_size=d))


def brute_force(table, maximize):
    costs = np.where(maximize, -table, table)
    valid = ~np.isnan(costs).any(axis=1)
    return [
        i
        for i in np.flatnonzero(valid)
        if not any(
            (costs[j] <= costs[i]).all() and (costs[j] < costs[i]).any()
            for j in np.flatnonzero(valid)
        )
    ]


@given(tables())
@settings(max_examples=300, deadline=None)
def test_equals_brute_force(case):
    table, maximize = case
    assert front(table, maximize).tolist() == brute_force(table, maximize)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_equals_brute_force_on_many_distinct_values(d):
    table = np.random.default_rng(d).normal(size=(400, d))
    maximize = [True, False, True][:d]
    assert front(table, maximize).tolist() == brute_force(table, maximize)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_many_rows_are_thinned_without_losing_one(d):
    """Ties, equal rows, infinities and NaN among them; compared with blocks of few rows."""
    rng = np.random.default_rng(d)
    table = rng.integers(0, 300, (3 * MANY, d)).astype(np.float64)
    table[rng.integers(0, len(table), 50), 0] = np.inf
    table[rng.integers(0, len(table), 50), d - 1] = -np.inf
    table[rng.integers(0, len(table), 50), d - 1] = np.nan
    maximize = [True, False, True][:d]
    blocks = np.array_split(np.arange(len(table)), 6)
    left = np.concatenate([rows[front(table[rows], maximize)] for rows in blocks])
    assert front(table, maximize).tolist() == np.sort(left[front(table[left], maximize)]).tolist()


def test_duplicates_stay_together():
    assert front([[1, 1], [2, 2], [2, 2], [0, 3]], [True, True]).tolist() == [1, 2, 3]


def test_nan_is_never_on_the_front():
    assert front([[np.nan, 9.0], [1.0, 1.0]], [True, True]).tolist() == [1]
    assert front([[np.nan], [np.nan]], [True]).tolist() == []


def test_nothing_gives_nothing():
    assert front([], [True, True]).tolist() == []
    assert front(np.empty((0, 3)), [True] * 3).dtype == np.intp


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2)])
def test_a_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"values has shape"):
        front(np.zeros(shape), [True] * 4 if len(shape) > 1 and shape[1] == 4 else [True])


def test_large_integers_and_a_full_front():
    rows = np.arange(5000)
    table = np.stack([rows, rows[::-1], np.full(5000, 7)], axis=1)
    assert front(table, [True, True, False]).tolist() == rows.tolist()
