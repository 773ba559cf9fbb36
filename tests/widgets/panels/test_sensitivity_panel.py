"""The panel "Sensitivity", without a browser."""

import itertools
import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.study import layerwise
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.widgets.panels.sensitivity_panel import (
    ALL_LAYERS,
    CHOSEN_LAYER,
    SensitivityPanel,
)


@pytest.fixture(scope="module")
def opened(bench):
    """With a few images to learn from: `choose_source` reads all of them."""
    few = tuple(part[:60] for part in bench.train_data)
    explorer = gx.explore("digits", attack=gx.PGD(0.15, steps=1), calibration=few)
    yield explorer
    explorer.close()


@pytest.fixture
def explorer(opened):
    opened.session.choose_source("weights")
    opened.session.controls.reset()
    opened.session.controls.select("conv5")
    return opened


@pytest.fixture(scope="module")
def numbers():
    return itertools.count(10)


@pytest.fixture
def fresh(explorer, numbers):
    """Another n for every test: nothing is measured yet."""
    explorer.session.measure_with(gx.PGD(0.15, steps=1), next(numbers))
    return explorer


@pytest.fixture
def panel(fresh):
    fresh.panel_bar.open("Sensitivity")
    made = fresh.panel_bar.opened
    made.family.value, made.layers.value = "tucker2", CHOSEN_LAYER
    made.metric.value, made.error.value = "robust", "relative"
    return made


def _measured(explorer, panel):
    panel.measure_button.click()
    explorer.session.jobs.wait(120)
    return panel


def test_it_is_made_when_it_is_opened(panel):
    assert isinstance(panel, SensitivityPanel)
    assert "not" in panel.scatter.layout.annotations[0].text
    assert min(panel.curves.data[4].y[1:]) > 0, "errors are there before anything is measured"


def test_before_it_starts_it_says_how_much_there_is_to_do(explorer, panel):
    count = len(layerwise.steps(explorer.session.network, ["conv5"], ["tucker2"]))
    assert panel.status.value.startswith('<span class="gx-unit">')
    assert f"{count + 1} evaluations, about " in panel.status.value
    assert "PGD-1" in panel.status.value
    panel.layers.value = ALL_LAYERS
    assert f"{count + 1} evaluations" not in panel.status.value


@pytest.mark.slow
def test_measuring_draws_every_point_and_says_rho(explorer, panel):
    _measured(explorer, panel)
    count = len(layerwise.steps(explorer.session.network, ["conv5"], ["tucker2"]))
    assert len([y for y in panel.scatter.data[1].y if y is not None]) == count
    assert panel.measure_button.disabled
    assert f"All {count} plans are measured" in panel.status.value
    assert "ρ" in panel.correlation.value
    assert panel.controls.cancel_button.disabled
    assert panel.controls.bar.layout.display == "none"
    state = panel.curves.get_state()
    assert state["_widget_data"][2]["y"][1] is not None, "a reload shows it too"


@pytest.mark.slow
def test_measuring_again_measures_only_what_is_missing(explorer, panel):
    _measured(explorer, panel)
    before = {r.plan: r.created for r in explorer.session.measurements.records()}
    panel.family.value = "gdws"
    _measured(explorer, panel)
    steps = layerwise.steps(explorer.session.network, ["conv5"], ["gdws"])
    assert (panel.progress.done, panel.progress.total) == (len(steps), len(steps))
    after = {r.plan: r.created for r in explorer.session.measurements.records()}
    assert all(after[plan] == created for plan, created in before.items())


@pytest.mark.slow
def test_cancel_keeps_what_was_measured_and_measure_goes_on(explorer, panel, monkeypatch):
    session = explorer.session
    reached, go_on, measure = threading.Event(), threading.Event(), PlanEvaluator.measure

    def third_waits(self, *args, **options):
        if len(session.measurements.records()) == 2:
            reached.set()
            assert go_on.wait(60)
        return measure(self, *args, **options)

    monkeypatch.setattr(PlanEvaluator, "measure", third_waits)
    panel.measure_button.click()
    assert reached.wait(60)
    assert panel.measure_button.disabled
    assert not panel.controls.cancel_button.disabled
    assert panel.controls.bar.layout.display is None
    assert "2 of " in panel.status.value
    panel.controls.cancel_button.click()
    assert "stopping" in panel.status.value
    go_on.set()
    session.jobs.wait(60)
    monkeypatch.undo()
    assert len(session.measurements.records()) == 2
    assert not panel.measure_button.disabled
    count = len(layerwise.steps(session.network, ["conv5"], ["tucker2"]))
    assert f"{count - 1} evaluations" in panel.status.value
    _measured(explorer, panel)
    assert len(session.measurements.records()) == count + 1


def test_cancel_takes_only_its_own_job(explorer, panel):
    session = explorer.session
    begun, go_on = threading.Event(), threading.Event()

    def other(progress, cancelled):
        begun.set()
        assert go_on.wait(60)

    held = session.jobs.submit("another", other)
    assert begun.wait(60)
    panel.measure_button.click()
    assert "waiting" in panel.status.value
    panel.controls.cancel_button.click()
    go_on.set()
    session.jobs.wait(60)
    assert held.status == "done"
    assert panel.controls.job.status == "cancelled"
    assert session.measurements.records() == ()


def test_selection_is_shared_both_ways(explorer, panel, click):
    session = explorer.session
    session.controls.select("conv3")
    assert set(panel.curves.data[4].customdata) == {"conv3"}
    assert panel.scatter.data[1].name == "conv3"
    point = list(panel.curves.data[3].customdata).index("conv6")
    click(panel.curves, 3, [point])
    assert session.controls.selected == "conv6"
    assert set(panel.curves.data[4].customdata) == {"conv6"}
    click(panel.curves, 3, [])
    assert session.controls.selected == "conv6"


def test_a_moving_slider_draws_nothing(explorer, panel, monkeypatch):
    drawn, computed, curves = [], [], layerwise.curves
    monkeypatch.setattr(layerwise, "curves", lambda *args: computed.append(1) or curves(*args))
    for figure in (panel.curves, panel.scatter):
        figure.observe(lambda change: drawn.append(change["new"]), "_py2js_update")
    explorer.session.controls.move_budget("macs", 0.5)
    explorer.session.controls.move_slider("conv5", [0.4])
    assert (drawn, computed) == ([], [])
    explorer.session.controls.select("conv3")
    assert drawn, "or this test proves nothing"


def test_a_layer_without_the_family_is_said(explorer, panel):
    explorer.session.controls.select("fc")
    assert "cannot be approximated by this family" in panel.status.value
    assert panel.measure_button.disabled
    assert list(panel.curves.data[2].y) == []


@pytest.mark.slow
def test_another_attack_is_another_measurement(explorer, panel):
    _measured(explorer, panel)
    explorer.session.measure_with(None, 41)
    assert panel.metric.disabled
    assert "no attack · n 41" in panel.status.value
    assert "nothing is measured" in panel.scatter.layout.annotations[0].text
    _measured(explorer, panel)
    assert panel.scatter.layout.yaxis.title.text == "clean accuracy lost (points)"


@pytest.mark.slow
def test_plans_from_images_have_errors_of_outputs(explorer, panel):
    explorer.session.choose_source("data")
    explorer.session.jobs.wait(120)
    assert panel.scatter.layout.xaxis.title.text == "relative error of the output"
    explorer.session.choose_source("weights")
    assert panel.scatter.layout.xaxis.title.text == "relative error of the kernel"


def test_without_images_there_is_nothing_to_press(explorer):
    bench = gx.load("digits")
    blind = gx.explore(bench.model, example=bench.example)
    blind.panel_bar.open("Sensitivity")
    panel = blind.panel_bar.opened
    assert panel.measure_button.disabled
    assert "no images" in panel.status.value
    blind.close()
