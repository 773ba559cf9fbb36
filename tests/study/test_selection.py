"""The knee and the cheapest plan of measured ones."""

import math

import numpy as np
import pytest

import gdws_explorer as gx
from gdws_explorer.study.filters import Filters
from gdws_explorer.study.selection import cheapest, knee

INF = math.inf


@pytest.fixture
def line(record):
    """A front with a sharp knee at 30 k MACs, and a dominated plan."""
    accuracies = {10: 36, 20: 216, 30: 324, 60: 334, 100: 342}
    made = [record(G, robust=correct) for G, correct in accuracies.items()]
    return (*made, record(70, robust=180))


def test_the_knee_is_where_more_cost_begins_to_buy_little(line):
    assert knee(line).macs == 30_000


def test_the_knee_is_the_point_farthest_above_the_chord(line):
    front = sorted(line[:5], key=lambda r: r.macs)
    (x0, y0), (x1, y1) = ((r.macs, r.robust) for r in (front[0], front[-1]))
    above = [r.robust - (y0 + (y1 - y0) * (r.macs - x0) / (x1 - x0)) for r in front]
    assert knee(line) == front[int(np.argmax(above))]


@pytest.mark.parametrize("count", [1, 2])
def test_a_front_without_a_bend_has_its_cheapest_plan_as_knee(line, count):
    assert knee(line[:count]) == line[0]


def test_an_empty_front_has_no_knee(record):
    with pytest.raises(gx.ExplorerError, match="the front is empty"):
        knee([])
    with pytest.raises(gx.ExplorerError, match="the front is empty"):
        knee([record(robust=None)])
    assert knee([record(robust=None)], accuracy="clean").robust is None


def test_the_cheapest_that_holds(line):
    assert cheapest(line, Filters().bound("robust", low=0.6)).macs == 20_000
    assert cheapest(line, Filters().bound("robust", low=0.61)).macs == 30_000
    assert cheapest(line, Filters()).macs == 10_000


def test_equally_cheap_plans_are_told_apart_by_accuracy(record):
    poor, good = record(10, robust=100), record(10, robust=200, params=99)
    assert cheapest([poor, good], Filters()) == good


def test_nothing_holds_and_the_error_says_how_far_the_records_reach(line):
    asked = Filters().bound("robust", low=0.99).bound("macs", high=5000.0)
    with pytest.raises(gx.ExplorerError) as error:
        cheapest(line, asked)
    assert "robust ≥ 99 %, macs ≤ 5 k" in str(error.value)
    assert "robust reaches 95 %, macs reaches 10 k" in str(error.value)
    with pytest.raises(gx.ExplorerError, match="nothing is measured"):
        cheapest([], asked)
