"""The live Pareto front of the bundled digits."""

from itertools import pairwise

import pytest

from gdws_explorer.figures import pareto_front as fronts
from gdws_explorer.study.filters import Filters
from gdws_explorer.widgets import text
from gdws_explorer.widgets.front_view import METRIC_OF, FrontView


@pytest.fixture
def view(digits_session):
    return FrontView(digits_session)


def drawn(view, trace):
    """The points of a trace as the page gets them: x by the index of the record."""
    data = view.figure.data[trace]
    return dict(zip(data.customdata or (), data.x or (), strict=True))


def records_of(session):
    return session.record_filter.records


def test_every_record_is_drawn_at_its_cost(view, digits_session):
    found = {}
    for trace, metric in enumerate(METRIC_OF):
        if metric == 0:
            found |= drawn(view, trace)
    assert found == {i: r.macs for i, r in enumerate(records_of(digits_session))}


def test_another_cost_is_drawn_after_a_refresh(view, digits_session):
    view.cost = "params"
    view.refresh(digits_session.snapshot)
    found = drawn(view, 0) | drawn(view, 1)
    assert found
    records = records_of(digits_session)
    assert all(x == records[index].params for index, x in found.items())


def test_only_the_chosen_accuracy_is_drawn(view, digits_session):
    view.metrics = ("clean",)
    view.refresh(digits_session.snapshot)
    for trace, metric in enumerate(METRIC_OF):
        if metric == fronts.ACCURACIES.index("robust"):
            assert drawn(view, trace) == {}
    assert view.figure.layout.yaxis.title.text == "clean accuracy (%)"


def test_one_trace_is_the_front(view, digits_session):
    records = records_of(digits_session)
    front = [records[index] for index in fronts.info(records, "robust", "macs").on_front]
    assert {records.index(record) for record in front} in [
        set(drawn(view, trace)) for trace in range(len(METRIC_OF))
    ]
    for low, high in pairwise(front):
        assert low.macs < high.macs
        assert low.robust < high.robust
    for record in records:
        assert any(r.macs <= record.macs and r.robust >= record.robust for r in front)


def test_a_click_makes_the_plan_of_the_point_the_present_one(view, digits_session, click):
    records = records_of(digits_session)
    for trace in range(4):
        points = list(drawn(view, trace))
        if points:
            click(view.figure, trace, [len(points) - 1])
            assert digits_session.plan == records[points[-1]].plan


def test_a_click_next_to_the_points_changes_nothing(view, digits_session, click):
    before = digits_session.controls.state
    click(view.figure, 0, [])
    assert digits_session.controls.state == before


def test_a_line_is_at_the_cost_of_the_present_plan(view, digits_session):
    for position in (0.6, 0.4):
        digits_session.controls.move_budget("macs", position)
        view.refresh_plan(digits_session.snapshot)
        line = view.figure.get_state()["_widget_layout"]["shapes"][0]
        assert line["x0"] == line["x1"] == digits_session.summary.macs


def test_a_measured_plan_has_no_mark_of_a_prediction(view, digits_session):
    digits_session.controls.move_budget("macs", 0.432)
    view.refresh_plan(digits_session.snapshot)
    assert len(view.figure.layout.shapes) == 1 + len(view.metrics)
    digits_session.show(records_of(digits_session)[0].plan)
    view.refresh_plan(digits_session.snapshot)
    assert len(view.figure.layout.shapes) == 1


def test_the_notes_are_those_of_the_module_text(view, digits_session):
    digits_session.record_filter.apply(Filters().bound("clean", 0.9))
    view.refresh(digits_session.snapshot)
    assert view.note.value == text.records(digits_session)
    assert view.estimate_note.value == ""
