"""Bounds, brushes, knee and cheapest, on records made by hand."""

import math

import numpy as np
import pytest

import gdws_explorer as gx
from gdws_explorer.session.undo import UndoHistory
from gdws_explorer.study.filters import METRICS, Filters, Range, histogram

INF = math.inf


@pytest.fixture
def line(record):
    """A front with a sharp knee at 30 k MACs, and a dominated plan."""
    accuracies = {10: 36, 20: 216, 30: 324, 60: 334, 100: 342}
    made = [record(G, robust=correct) for G, correct in accuracies.items()]
    return (*made, record(70, robust=180))


def test_filters_hold_and_say_what_is_broken(line):
    filters = Filters().bound("robust", low=0.5).brush(Range("macs", 25_000, 65_000, keep=False))
    assert [r.macs for r in filters.kept(line)] == [20_000, 100_000, 70_000]
    assert filters.broken(line[0]) == Range("robust", 0.5, INF)
    assert filters.broken(line[2]) == Range("macs", 25_000, 65_000, keep=False)
    assert str(filters) == "robust ≥ 50 %, macs not in 25 k to 65 k"


def test_a_bound_replaces_the_one_before_and_nothing_takes_it_away():
    filters = Filters().bound("robust", low=0.5).bound("clean", low=0.9).bound("robust", low=0.6)
    assert set(filters.bounds) == {Range("clean", 0.9), Range("robust", 0.6)}
    assert filters.bound("robust").bound("clean") == Filters()


def test_a_record_without_the_metric_is_in_no_range(record):
    plain = record(robust=None)
    assert not Range("robust", 0.0, 1.0).holds(plain)
    assert Range("robust", 0.0, 1.0, keep=False).holds(plain)


def test_filters_are_undone_and_done_again(line):
    history = UndoHistory(Filters())
    history.put(history.present.brush(Range("macs", 0, 50_000)))
    history.put(history.present.brush(Range("clean", 0, 1)))
    assert history.undo()
    assert len(history.present.brushes) == 1
    assert history.undo()
    assert history.present == Filters()
    assert history.redo()
    assert history.present.kept(line) == line[:3]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_record_with_the_metric_is_in_one_bin(line, record, name):
    records = (*line, record(robust=None), record(5, relative_error=0.0))
    found = histogram(records, name, Filters().bound("robust", low=0.5), bins=7)
    having = [r for r in records if METRICS[name].value(r) is not None]
    assert found.held(0, 7) == len(having)
    kept = [r for r in having if r.robust is not None and r.robust >= 0.5]
    assert found.kept.sum() == len(kept)
    assert (np.diff(found.edges) > 0).all()


@pytest.mark.parametrize("name", ["robust", "macs", "relative_error"])
@pytest.mark.parametrize(("first", "last"), [(0, 3), (2, 5), (4, 7), (0, 7)])
def test_a_brush_covers_the_records_of_its_bins(line, name, first, last):
    found = histogram(line, name, Filters(), bins=7)
    brushed = found.range(first, last)
    assert sum(brushed.holds(r) for r in line) == found.held(first, last)
    excluded = found.range(first, last, keep=False)
    assert sum(excluded.holds(r) for r in line) == len(line) - found.held(first, last)


def test_histograms_of_nothing_and_of_one_value(record):
    assert histogram([], "robust", Filters()).held(0, 24) == 0
    same = histogram([record(), record()], "macs", Filters())
    assert same.held(0, 24) == 2


def test_bad_names_and_ranges_are_errors(line):
    with pytest.raises(gx.DataError, match="unknown metric 'speed'"):
        histogram(line, "speed", Filters())
    with pytest.raises(gx.DataError, match="unknown metric 'speed'"):
        Range("speed")
    with pytest.raises(gx.DataError, match="smaller number first"):
        Range("macs", 2, 1)


@pytest.mark.parametrize("name", ["robust", "clean", "macs"])
def test_a_bound_as_a_share_is_its_own_inverse(name):
    filters = Filters().with_share(name, 0.4, 5000)
    assert filters.share(name, 5000) == 0.4
    (bound,) = filters.bounds
    assert (bound.low, bound.high) == ((-math.inf, 2000) if name == "macs" else (0.4, math.inf))
    assert filters.with_share(name, None, 5000) == Filters()
    assert Filters().share(name, 5000) is None
