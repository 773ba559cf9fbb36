"""The panel "Sensitivity", without a browser."""

import itertools
import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.study import layerwise
from gdws_explorer.widgets.panels.sensitivity_panel import ALL, ONE, SensitivityPanel


@pytest.fixture(scope="module")
def opened():
    explorer = gx.explore("digits", attack=gx.PGD(0.15, steps=1))
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
    made._family.value, made._which.value = "tucker2", ONE
    made._metric.value, made._kind.value = "robust", "relative"
    return made


def _measured(panel):
    panel._measure.click()
    panel._session.jobs.wait(120)
    return panel


def test_it_is_made_when_it_is_opened(panel):
    assert isinstance(panel, SensitivityPanel)
    assert "not" in panel._scatter.layout.annotations[0].text
    assert min(panel._curves.data[4].y[1:]) > 0, "errors are there before anything is measured"


def test_before_it_starts_it_says_how_much_there_is_to_do(panel):
    count = len(layerwise.steps(panel._session.network, ["conv5"], ["tucker2"]))
    assert panel._text.value.startswith('<span class="gx-unit">')
    assert f"{count + 1} evaluations, about " in panel._text.value
    assert "PGD-1" in panel._text.value
    panel._which.value = ALL
    assert f"{count + 1} evaluations" not in panel._text.value


@pytest.mark.slow
def test_measuring_draws_every_point_and_says_rho(panel):
    _measured(panel)
    count = len(layerwise.steps(panel._session.network, ["conv5"], ["tucker2"]))
    assert len([y for y in panel._scatter.data[1].y if y is not None]) == count
    assert panel._measure.disabled
    assert f"All {count} plans are measured" in panel._text.value
    assert "ρ" in panel._said.value
    assert panel._run.cancel.disabled
    assert panel._run.bar.layout.display == "none"
    state = panel._curves.get_state()
    assert state["_widget_data"][2]["y"][1] is not None, "a reload shows it too"


@pytest.mark.slow
def test_measuring_again_measures_only_what_is_missing(panel, monkeypatch):
    _measured(panel)
    before = {r.plan: r.created for r in panel._session.measurements.records()}
    told = []
    panel._family.value = "gdws"
    monkeypatch.setattr(panel, "_heard", told.append)
    _measured(panel)
    assert told[0].total == len(layerwise.steps(panel._session.network, ["conv5"], ["gdws"]))
    after = {r.plan: r.created for r in panel._session.measurements.records()}
    assert all(after[plan] == created for plan, created in before.items())


@pytest.mark.slow
def test_cancel_keeps_what_was_measured_and_measure_goes_on(panel, monkeypatch):
    session = panel._session
    reached, go_on = threading.Event(), threading.Event()
    heard = panel._heard

    def hold(progress):
        heard(progress)
        if progress.done == 2:
            reached.set()
            assert go_on.wait(60)

    monkeypatch.setattr(panel, "_heard", hold)
    panel._measure.click()
    assert reached.wait(60)
    assert panel._measure.disabled
    assert not panel._run.cancel.disabled
    assert panel._run.bar.layout.display is None
    assert "2 of " in panel._text.value
    panel._run.cancel.click()
    assert "stopping" in panel._text.value
    go_on.set()
    session.jobs.wait(60)
    monkeypatch.undo()
    assert len(session.measurements.records()) == 2
    assert not panel._measure.disabled
    count = len(layerwise.steps(session.network, ["conv5"], ["tucker2"]))
    assert f"{count - 1} evaluations" in panel._text.value
    _measured(panel)
    assert len(session.measurements.records()) == count + 1


def test_cancel_takes_only_its_own_job(panel):
    session = panel._session
    begun, go_on = threading.Event(), threading.Event()

    def other(progress, cancelled):
        begun.set()
        assert go_on.wait(60)

    held = session.jobs.submit("another", other)
    assert begun.wait(60)
    panel._measure.click()
    assert "waiting" in panel._text.value
    panel._run.cancel.click()
    go_on.set()
    session.jobs.wait(60)
    assert held.status == "done"
    assert panel._run.job.status == "cancelled"
    assert session.measurements.records() == ()


def test_selection_is_shared_both_ways(panel):
    session = panel._session
    session.controls.select("conv3")
    assert set(panel._curves.data[4].customdata) == {"conv3"}
    assert panel._scatter.data[1].name == "conv3"
    trace = panel._curves.data[3]
    place = list(trace.customdata).index("conv6")
    panel._clicked(trace, type("Points", (), {"point_inds": [place]})(), None)
    assert session.controls.selected == "conv6"
    assert set(panel._curves.data[4].customdata) == {"conv6"}
    panel._clicked(trace, type("Points", (), {"point_inds": []})(), None)
    assert session.controls.selected == "conv6"


def test_a_moving_fader_draws_nothing(panel, monkeypatch):
    drawn = []
    monkeypatch.setattr(panel, "_show", lambda: drawn.append("show"))
    monkeypatch.setattr(panel, "_learn", lambda: drawn.append("learn"))
    panel._session.controls.move_budget("macs", 0.5)
    panel._session.controls.move_slider("conv5", [0.4])
    assert drawn == []


def test_a_layer_without_the_family_is_said(panel):
    panel._session.controls.select("fc")
    assert "cannot be approximated by this family" in panel._text.value
    assert panel._measure.disabled
    assert list(panel._curves.data[2].y) == []


@pytest.mark.slow
def test_another_attack_is_another_measurement(panel):
    _measured(panel)
    panel._session.measure_with(None, 41)
    assert panel._metric.disabled
    assert "no attack · n 41" in panel._text.value
    assert "nothing is measured" in panel._scatter.layout.annotations[0].text
    _measured(panel)
    assert panel._scatter.layout.yaxis.title.text == "clean accuracy lost (points)"


@pytest.mark.slow
def test_plans_from_images_have_errors_of_outputs(panel):
    panel._session.choose_source("data")
    panel._session.jobs.wait(120)
    assert panel._scatter.layout.xaxis.title.text == "relative error of the output"
    panel._session.choose_source("weights")
    assert panel._scatter.layout.xaxis.title.text == "relative error of the kernel"


def test_without_images_there_is_nothing_to_press(explorer):
    bench = gx.load("digits")
    blind = gx.explore(bench.model, example=bench.example)
    blind.panel_bar.open("Sensitivity")
    panel = blind.panel_bar.opened
    assert panel._measure.disabled
    assert "no images" in panel._text.value
    blind.close()
