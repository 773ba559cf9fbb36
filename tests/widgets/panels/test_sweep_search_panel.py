"""The panel "Sweep & search", without a browser."""

import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.study.filters import Range
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.format import duration
from gdws_explorer.widgets.panels.sweep_search_form import ALL, SEARCH
from gdws_explorer.widgets.panels.sweep_search_panel import SweepSearchPanel


@pytest.fixture
def explorer():
    made = gx.explore("digits")
    made.session.measure_with(gx.FGSM(0.15), 20)
    yield made
    made.close()


@pytest.fixture
def panel(explorer):
    explorer.panel_bar.open("Sweep & search")
    opened = explorer.panel_bar.opened
    assert isinstance(opened, SweepSearchPanel)
    opened.form.points.value = 5
    return opened


@pytest.fixture
def held(monkeypatch):
    """Measurements wait until `held.set()`, but for those of the plans in `held.free`."""
    go, real = threading.Event(), PlanEvaluator.measure
    go.begun, go.free = threading.Event(), set()

    def wait(self, plan, *args, cancel=None, **given):
        go.begun.set()
        while plan not in go.free and not go.wait(0.02):
            stop_if(cancel)
        return real(self, plan, *args, cancel=cancel, **given)

    monkeypatch.setattr(PlanEvaluator, "measure", wait)
    yield go
    go.set()


def _counted(panel):
    panel.estimate_queue.wait(60)
    return panel.forecast.value


def _finished(explorer, panel):
    panel.job_queue.wait(120)
    return explorer.session.measurements.records()


def test_a_sweep_says_what_it_takes_and_its_points_arrive(explorer, panel):
    assert "5 plans: <b>5 to measure</b>" in _counted(panel)
    assert "a guess from other attacks or numbers of images" in panel.forecast.value
    assert panel.time_button.layout.display is None
    panel.time_button.click()
    assert len(_finished(explorer, panel)) == 1
    assert "1 of them measured already: <b>4 to measure</b>" in _counted(panel)
    assert "about <b>" in panel.forecast.value
    assert "guess" not in panel.forecast.value
    assert panel.time_button.layout.display == "none"
    panel.start_button.click()
    assert panel.start_button.disabled
    records = _finished(explorer, panel)
    assert len(records) == 5
    assert "done: 4 measured, 1 known before" in panel.status.value
    assert not panel.start_button.disabled
    front = explorer.front_view.figure
    assert sum(len(trace.x) for trace in front.data) == 10
    grown = list(panel.hypervolume.data[0].y)
    assert len(grown) == 5
    assert grown == sorted(grown)
    assert grown[-1] > 0
    assert "<b>0 to measure</b>" in _counted(panel)


def test_pause_resume_and_cancel(explorer, panel, held):
    panel.start_button.click()
    assert held.begun.wait(60)
    panel.pause_button.click()
    assert panel.pause_button.description == "Resume"
    assert "paused" in panel.status.value
    held.set()
    panel.pause_button.click()
    assert panel.pause_button.description == "Pause"
    assert len(_finished(explorer, panel)) == 5
    held.clear()
    panel.form.points.value = 9
    panel.start_button.click()
    panel.cancel_button.click()
    assert len(_finished(explorer, panel)) == 5
    assert "cancelled after" in panel.status.value
    assert not panel.start_button.disabled
    assert panel.cancel_button.disabled


def test_evaluate_need_not_wait_for_a_sweep(explorer, panel, held):
    session = explorer.session
    held.free.add(session.plan)
    panel.start_button.click()
    assert held.begun.wait(60)
    job = session.evaluate()
    session.jobs.wait(60)
    assert job.status == "done"
    assert [record.plan for record in session.measurements.records()] == [session.plan]
    assert panel.job.status == "running"
    held.set()
    assert len(_finished(explorer, panel)) == 6


def test_a_search_with_screening(explorer, panel):
    session, form = explorer.session, panel.form
    session.measure_with(gx.PGD(0.15, steps=3), 20)
    form.kind.value = SEARCH
    form.evaluations.value = 8
    form.screening.value = "FGSM, then the front"
    form.constraints.value = "clean ≥ 10 %, macs <= 90 %"
    assert "8 plans" in _counted(panel)
    panel.start_button.click()
    strong = _finished(explorer, panel)
    assert "done" in panel.status.value
    screened = next(
        one for one in session.measurements.settings() if one.setting.attack["name"] == "FGSM"
    )
    assert screened.measured == 8
    assert 1 <= len(strong) <= 8
    assert {r.plan for r in strong} <= {
        r.plan for r in session.measurements.records(screened.setting)
    }
    assert all(record.macs <= 0.9 * session.network.macs for record in strong)


def test_a_form_that_is_wrong_says_so_and_starts_nothing(panel):
    panel.form.kind.value = SEARCH
    panel.form.constraints.value = "robust <= 3"
    assert "cannot read the constraint" in panel.forecast.value
    panel.start_button.click()
    assert panel.job is None
    panel.form.constraints.value = "macs <= 1 %"
    assert "cannot be met" in _counted(panel)
    panel.start_button.click()
    panel.job_queue.wait(60)
    assert "cannot be met" in panel.status.value
    assert not panel.start_button.disabled


def test_every_line_of_the_form_is_an_order(explorer, panel):
    form = panel.form
    names = explorer.session.network.names
    form.sweep_over.value = "macs"
    form.families.value = "each"
    grid = form.spec().grid
    assert (grid.macs, grid.families) == (5, ("gdws", "tucker2", "svd", "spatial"))
    form.layers.value = True
    assert set(form.spec().grid.layers) == set(names) - set(explorer.session.controls.state.skipped)
    form.source.value = ALL
    assert form.spec().sources == ("weights", "refit", "data")
    form.sweep_over.value = "alpha"
    assert form.spec().alpha
    assert form.spec().grid.beta == 5
    assert "75 plans" in _counted(panel)


def test_plans_from_images(explorer, panel):
    panel.form.sweep_over.value = "macs"
    panel.form.points.value = 2
    panel.form.source.value = "refit"
    panel.start_button.click()
    records = _finished(explorer, panel)
    assert [record.plan.refitted for record in records] == [True, True]


@pytest.mark.slow
def test_the_brush_keeps_excludes_and_is_taken_back(explorer, panel):
    panel.start_button.click()
    records = _finished(explorer, panel)
    records_view, picking = panel.record_filter_view, explorer.session.record_filter
    records_view.metric.value = "macs"
    records_view.brush.value = (0, 12)
    assert len(records_view.figure.layout.shapes) == 1
    records_view.keep_button.click()
    kept = picking.kept()
    assert 0 < len(kept) < len(records)
    assert sum(map(sum, (records_view.figure.data[0].y, records_view.figure.data[1].y))) == len(
        records
    )
    assert sum(records_view.figure.data[0].y) == len(kept)
    assert len(explorer.front_view.figure.data[4].x) == len(records) - len(kept)
    assert "macs in" in records_view.filters_text.value
    records_view.undo_button.click()
    assert picking.kept() == records
    records_view.redo_button.click()
    assert picking.kept() == kept
    records_view.clear_button.click()
    records_view.brush.value = (0, 12)
    records_view.exclude_button.click()
    assert {*picking.kept()} == {*records} - {*kept}


def test_a_box_over_the_bars_moves_the_brush(panel, drag):
    records_view = panel.record_filter_view
    drag(records_view.figure, (7.6, 2.2))
    assert records_view.brush.value == (2, 8)
    drag(records_view.figure, None)
    assert records_view.brush.value == (2, 8)


def test_parallel_coordinates_are_made_on_demand(explorer, panel):
    panel.start_button.click()
    _finished(explorer, panel)
    records_view = panel.record_filter_view
    assert records_view.parallel.children == ()
    records_view.parallel_button.value = True
    (figure,) = records_view.parallel.children
    axes = {axis.name: axis for axis in figure.data[0].dimensions}
    assert set(axes) == {"macs", "params", "relative_error", "clean", "robust"}
    axes["robust"].constraintrange = [20, 100]
    assert records_view.parallel.children == (figure,), "it stays as the user left it"
    assert explorer.session.record_filter.filters.bounds == (Range("robust", 0.2, 1.0),)
    records_view.undo_button.click()
    assert records_view.parallel.children[0] is not figure
    assert explorer.session.record_filter.filters.bounds == ()
    records_view.parallel_button.value = False
    assert records_view.parallel.children == ()


def test_bounds_grey_out_and_knee_and_cheapest_go_there(explorer):
    session = explorer.session
    session.show_setting(
        next(o.setting for o in session.measurements.settings() if o.measured > 20)
    )
    bar, view = explorer.filter_bar, explorer.front_view
    records = session.measurements.records()
    bar.bounds["robust"].value = "70 %"
    assert bar.bounds["robust"].value == "70"
    grey = [record for record in records if record.robust < 0.7]
    assert 0 < len(grey) == len(view.figure.data[4].x) < len(records)
    assert f"{len(grey)} are greyed out" in view.note.value
    bar.cheapest_button.click()
    least = min(r.macs for r in records if r.robust >= 0.7)
    assert session.summary.macs == least
    bar.knee_button.click()
    assert session.measurements.of(session.plan).robust >= 0.7
    bar.bounds["macs"].value = "1"
    bar.cheapest_button.click()
    assert "no measured plan has" in session.message
    bar.bounds["macs"].value = "much"
    assert "expected per cent" in session.message
    assert bar.bounds["macs"].value == "1"
    session.record_filter.undo()
    session.record_filter.undo()
    assert bar.bounds["robust"].value == ""
    assert len(view.figure.data[4].x) == 0


def test_the_settings_menu_is_there_when_there_are_several(explorer):
    session, menu = explorer.session, explorer.settings_menu
    assert menu.box.layout.display is None
    counts = [one.measured for one in session.measurements.settings()]
    assert counts == [0, len(gx.load("digits").records)]
    assert menu.menu.value == session.measurements.setting
    menu.menu.value = next(s for _, s in menu.menu.options if s.n == 360)
    assert session.measurements.attack == gx.PGD(0.15)
    assert len(session.measurements.records()) == counts[1]
    assert explorer.evaluate_bar.attack.value == "PGD"
    assert explorer.evaluate_bar.n.value == 360
    assert explorer.evaluate_bar.steps.value == 20


def test_a_moved_fader_only_moves_shapes(explorer, panel):
    front = explorer.front_view.figure
    traces = [trace.to_plotly_json() for trace in front.data]
    shapes = [shape.to_plotly_json() for shape in front.layout.shapes]
    sent = []
    front.observe(lambda change: sent.append(change["new"]), ["_py2js_update", "_py2js_restyle"])
    explorer.session.controls.move_slider("conv4", [0.5])
    assert sent == []
    assert str(traces) == str([trace.to_plotly_json() for trace in front.data])
    assert [shape.to_plotly_json() for shape in front.layout.shapes] != shapes


def test_durations():
    assert [duration(s) for s in (0.2, 7, 34, 100, 1000, 5300, 5400, 9000, 36000)] == [
        "1 s", "7 s", "35 s", "2 min", "17 min", "88 min", "1 h 30 min", "2 h 30 min", "10 h",
    ]  # fmt: skip
