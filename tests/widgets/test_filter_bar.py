"""The bounds of the filter bar, between texts and the session's filters."""

import pytest

from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import Range
from gdws_explorer.widgets.filter_bar import FilterBar


class View:
    """The part of the front view that the bar reads."""

    metrics, cost = ("robust", "clean"), "macs"


@pytest.fixture(scope="module")
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def bar(session):
    session.record_filter.apply(type(session.record_filter.filters)())
    made = FilterBar(session, View())
    made.refresh()
    return made


def test_a_text_becomes_a_bound_and_a_bound_a_text(bar, session):
    bar.bounds["robust"].value = "70 %"
    bar.bounds["macs"].value = "40"
    half = Range("macs", high=0.4 * session.network.macs)
    assert session.record_filter.filters.bounds == (Range("robust", 0.7), half)
    session.record_filter.undo()
    bar.refresh()
    assert (bar.bounds["robust"].value, bar.bounds["macs"].value) == ("70", "")
    bar.bounds["robust"].value = ""
    assert session.record_filter.filters.bounds == ()


def test_a_wrong_text_is_explained_and_put_back(bar, session):
    bar.bounds["clean"].value = "90"
    bar.bounds["clean"].value = "many"
    assert "clean ≥ is 'many'; expected per cent" in session.message
    assert bar.bounds["clean"].value == "90"


def test_cheapest_shows_the_cheapest_plan_that_passes(bar, session):
    bar.bounds["robust"].value = "60"
    bar.cheapest_button.click()
    passing = [record for record in session.measurements.records() if record.robust >= 0.6]
    assert session.summary.macs == min(record.macs for record in passing)
    bar.knee_button.click()
    assert session.measurements.of(session.plan) in passing
