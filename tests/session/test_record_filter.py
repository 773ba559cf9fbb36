"""Filters over records, with their own undo, and the plans that they lead to."""

import pytest

import gdws_explorer as gx
from gdws_explorer.session.record_filter import RecordFilter
from gdws_explorer.study.filters import Filters


@pytest.fixture
def changes():
    return []


@pytest.fixture
def found(bench, changes):
    return RecordFilter(lambda: bench.records, lambda: changes.append(1))


def test_filters_have_their_own_undo_and_say_when_they_change(found, changes):
    bound = Filters().bound("clean", 0.9)
    found.apply(bound)
    found.apply(bound)
    assert (found.filters, len(changes)) == (bound, 1)
    found.undo()
    assert found.filters == Filters()
    found.undo()
    found.redo()
    assert (found.filters, len(changes)) == (bound, 3)


def test_one_gesture_is_one_step(found):
    for low in (0.5, 0.6, 0.7):
        found.apply(Filters().bound("clean", low), gesture="drag")
    found.undo()
    assert found.filters == Filters()


def test_the_cheapest_passes_the_filters_and_nothing_passing_is_cheaper(found):
    found.apply(Filters().bound("clean", 0.9))
    best = found.cheapest("clean", "macs")
    assert best in found.kept()
    assert best.macs == min(record.macs for record in found.kept())
    assert found.knee("clean", "macs") in found.kept()


def test_filters_that_nothing_passes_are_an_error_with_the_count(found, bench):
    found.apply(Filters().bound("clean", 1.0).bound("macs", high=1))
    with pytest.raises(gx.ExplorerError, match=f"none of the {len(bench.records)} measured plans"):
        found.kept()
