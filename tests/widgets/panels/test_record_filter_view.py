"""The histogram with its brush, and parallel coordinates, over the bundled records."""

import pytest

from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import BINS, METRICS
from gdws_explorer.widgets.panels.record_filter_view import RecordFilterView


@pytest.fixture
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def view(session):
    made = RecordFilterView(session)
    session.subscribe(lambda event, _snapshot: made.refresh(event), ["filters", "records"])
    return made


@pytest.mark.parametrize("metric", METRICS)
def test_the_bars_hold_every_record_that_has_the_metric(view, session, metric):
    view.metric.value = metric
    having = [r for r in session.measurements.records() if METRICS[metric].value(r) is not None]
    assert sum(sum(bars.y) for bars in view.figure.data) == len(having)


def test_the_brush_says_what_it_covers_and_another_metric_resets_it(view):
    view.brush.value = (0, 12)
    covered = sum(sum(bars.y[:12]) for bars in view.figure.data)
    assert f": {covered:.0f} plan" in view.selection_text.value
    assert len(view.figure.layout.shapes) == 1
    view.metric.value = "macs"
    assert view.brush.value == (0, BINS)
    assert view.figure.layout.shapes == ()


def test_keep_and_exclude_are_complements(view, session):
    records = set(session.measurements.records())
    view.brush.value = (0, 12)
    view.keep_button.click()
    kept = set(session.record_filter.kept())
    assert "Not greyed out: robust" in view.filters_text.value
    view.undo_button.click()
    view.brush.value = (0, 12)
    view.exclude_button.click()
    assert set(session.record_filter.kept()) == records - kept


def test_the_buttons_are_enabled_where_they_do_something(view, session):
    buttons = (view.undo_button, view.redo_button, view.clear_button)
    assert [each.disabled for each in buttons] == [True, True, True]
    view.brush.value = (0, 12)
    view.keep_button.click()
    assert [each.disabled for each in buttons] == [False, True, False]
    view.undo_button.click()
    assert [each.disabled for each in buttons] == [True, False, True]


def test_records_that_arrive_quickly_are_drawn_when_the_last_is_there(view):
    view.parallel_button.value = True
    (figure,) = view.parallel.children
    view.refresh("records")
    assert view.parallel.children == (figure,), "it was drawn a moment ago"
    view.catch_up()
    assert view.parallel.children != (figure,)
    (figure,) = view.parallel.children
    view.catch_up()
    assert view.parallel.children == (figure,), "nothing is missing"
