"""The controls of the Pareto front: its axes, its records and the live estimate."""

import ipywidgets as w
import pytest

from gdws_explorer.figures.pareto_front import COSTS
from gdws_explorer.widgets.form import inside
from gdws_explorer.widgets.front_controls import FrontControls


class View:
    """The part of the front view that the controls use; it counts its refreshes."""

    def __init__(self):
        self.cost, self.metrics, self.dominated = "macs", ("robust", "clean"), True
        self.snapshots = []

    def refresh(self, now):
        self.snapshots.append(now)


@pytest.fixture
def view():
    return View()


@pytest.fixture
def controls(digits_session, view):
    made = FrontControls(digits_session, view)
    digits_session.subscribe(lambda event, now: made.refresh(), ["estimate"])
    return made


@pytest.fixture
def inputs(controls):
    """The inputs by their labels, and the buttons by their icons."""
    found = [each for each in inside(controls.box) if isinstance(each, w.DOMWidget)]
    return {each.description or each.icon: each for each in found}


def test_its_inputs_begin_with_what_the_view_shows(inputs, view):
    assert inputs["x"].value == view.cost
    assert inputs["y"].value == view.metrics
    assert inputs["show dominated plans"].value == view.dominated
    assert [value for _, value in inputs["x"].options] == list(COSTS)


@pytest.mark.parametrize(
    ("label", "name", "value"),
    [
        *(("x", "cost", cost) for cost in COSTS if cost != "macs"),
        ("y", "metrics", ("clean",)),
        ("y", "metrics", ("robust",)),
        ("show dominated plans", "dominated", False),
    ],
)
def test_an_input_changes_the_view_and_draws_it_once(
    inputs, view, digits_session, label, name, value
):
    inputs[label].value = value
    assert getattr(view, name) == value
    assert view.snapshots == [digits_session.snapshot]


def test_the_arrows_go_along_the_front_and_back(inputs, digits_session):
    digits_session.controls.move_budget("macs", 0.5)
    inputs["arrow-right"].click()
    here = digits_session.summary.macs
    inputs["arrow-right"].click()
    assert digits_session.summary.macs > here
    inputs["arrow-left"].click()
    assert digits_session.summary.macs == here
    assert digits_session.snapshot.record in digits_session.record_filter.kept()


def test_the_arrows_use_the_cost_and_the_accuracy_of_the_view(inputs, digits_session):
    inputs["x"].value, inputs["y"].value = "params", ("clean",)
    digits_session.controls.move_budget("macs", 0.5)
    here = digits_session.summary.params
    inputs["arrow-left"].click()
    assert digits_session.summary.params < here


def test_at_the_end_of_the_front_the_message_says_so_and_the_plan_stays(inputs, digits_session):
    for _ in digits_session.measurements.records():
        inputs["arrow-left"].click()
        if digits_session.failed:
            break
    assert digits_session.failed
    plan = digits_session.plan
    inputs["arrow-left"].click()
    assert digits_session.plan == plan


def test_a_live_estimate_that_is_refused_unticks_the_box(inputs, digits_session):
    digits_session.measure_with(None, 20)
    inputs["live estimate"].value = True
    assert digits_session.failed
    assert not digits_session.estimates.enabled
    assert not inputs["live estimate"].value


def test_the_box_follows_the_session(controls, inputs, digits_session):
    digits_session.measure_with(digits_session.measurements.attack, 20)
    digits_session.show_live_estimates(True)
    assert inputs["live estimate"].value
    inputs["live estimate"].value = False
    assert not digits_session.estimates.enabled
