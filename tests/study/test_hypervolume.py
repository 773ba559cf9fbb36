import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdws_explorer.study.pareto import hypervolume, hypervolume_history

DOWN = [False, False, False]


def counted(rows, reference):
    """Unit cells between a reference of whole numbers and 0 that a row dominates."""
    cells = itertools.product(*(range(size) for size in reference))
    return sum(
        any(all(x <= c for x, c in zip(row, cell, strict=True)) for row in rows) for cell in cells
    )


@pytest.mark.parametrize("columns", [1, 2, 3])
@given(data=st.data())
def test_it_counts_the_cells_that_are_dominated(columns, data):
    row = st.tuples(*[st.integers(0, 5)] * columns)
    rows = data.draw(st.lists(row, max_size=12))
    reference = [4] * columns  # some rows lie beyond it
    assert hypervolume(rows, DOWN[:columns], reference) == counted(rows, reference)


def test_directions_and_what_counts_nothing():
    rows = [[0.9, 0.5], [0.6, 0.2], [np.nan, 0.1], [0.5, 0.6], [0.95, 1.5]]
    assert hypervolume(rows, [True, False], [0.0, 1.0]) == pytest.approx(0.9 * 0.5 + 0.6 * 0.3)
    assert hypervolume([], [True, False], [0.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="reference has 1 numbers; expected 2"):
        hypervolume(rows, [True, False], [0.0])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=10))
def test_growth_is_the_hypervolume_of_every_beginning(rows):
    grown = hypervolume_history(rows, DOWN[:2], [4, 4])
    assert list(grown) == [hypervolume(rows[: n + 1], DOWN[:2], [4, 4]) for n in range(len(rows))]
