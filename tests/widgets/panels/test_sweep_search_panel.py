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
    opened._form._points.value = 5
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
    panel._counting.wait(60)
    return panel._expected.value


def _finished(panel):
    panel._queue.wait(120)
    return panel._session.measurements.records()


def test_a_sweep_says_what_it_takes_and_its_points_arrive(explorer, panel):
    assert "5 plans: <b>5 to measure</b>" in _counted(panel)
    assert "a guess from other attacks or numbers of images" in panel._expected.value
    assert panel._one.layout.display is None
    panel._one.click()
    assert len(_finished(panel)) == 1
    assert "1 of them measured already: <b>4 to measure</b>" in _counted(panel)
    assert "about <b>" in panel._expected.value
    assert "guess" not in panel._expected.value
    assert panel._one.layout.display == "none"
    panel._start.click()
    assert panel._start.disabled
    records = _finished(panel)
    assert len(records) == 5
    assert "done: 4 measured, 1 known before" in panel._said.value
    assert not panel._start.disabled
    front = explorer.front_view.figure
    assert sum(len(trace.x) for trace in front.data) == 10
    grown = list(panel._growth.data[0].y)
    assert len(grown) == 5
    assert grown == sorted(grown)
    assert grown[-1] > 0
    assert "<b>0 to measure</b>" in _counted(panel)


def test_pause_resume_and_cancel(panel, held):
    panel._start.click()
    assert held.begun.wait(60)
    panel._pause.click()
    assert panel._pause.description == "Resume"
    assert "paused" in panel._said.value
    held.set()
    panel._pause.click()
    assert panel._pause.description == "Pause"
    assert len(_finished(panel)) == 5
    held.clear()
    panel._form._points.value = 9
    panel._start.click()
    panel._cancel.click()
    assert len(_finished(panel)) == 5
    assert "cancelled after" in panel._said.value
    assert not panel._start.disabled
    assert panel._cancel.disabled


def test_evaluate_need_not_wait_for_a_sweep(panel, held):
    session = panel._session
    held.free.add(session.plan)
    panel._start.click()
    assert held.begun.wait(60)
    job = session.evaluate()
    session.jobs.wait(60)
    assert job.status == "done"
    assert [record.plan for record in session.measurements.records()] == [session.plan]
    assert panel._job.status == "running"
    held.set()
    assert len(_finished(panel)) == 6


def test_a_search_with_screening(panel):
    session, form = panel._session, panel._form
    session.measure_with(gx.PGD(0.15, steps=3), 20)
    form._kind.value = SEARCH
    form._evaluations.value = 8
    form._screen.value = "FGSM, then the front"
    form._constraints.value = "clean ≥ 10 %, macs <= 90 %"
    assert "8 plans" in _counted(panel)
    panel._start.click()
    strong = _finished(panel)
    assert "done" in panel._said.value
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
    panel._form._kind.value = SEARCH
    panel._form._constraints.value = "robust <= 3"
    assert "cannot read the constraint" in panel._expected.value
    panel._start.click()
    assert panel._job is None
    panel._form._constraints.value = "macs <= 1 %"
    assert "cannot be met" in _counted(panel)
    panel._start.click()
    panel._queue.wait(60)
    assert "cannot be met" in panel._said.value
    assert not panel._start.disabled


def test_every_line_of_the_form_is_an_order(panel):
    form = panel._form
    names = panel._session.network.names
    form._line.value = "macs"
    form._families.value = "each"
    grid = form.order().grid
    assert (grid.macs, grid.families) == (5, ("gdws", "tucker2", "svd", "spatial"))
    form._layers.value = True
    assert set(form.order().grid.layers) == set(names) - set(panel._session.controls.state.skipped)
    form._source.value = ALL
    assert form.order().sources == ("weights", "refit", "data")
    form._line.value = "alpha"
    assert form.order().alpha
    assert form.order().grid.beta == 5
    assert "75 plans" in _counted(panel)


def test_plans_from_images(panel):
    panel._form._line.value = "macs"
    panel._form._points.value = 2
    panel._form._source.value = "refit"
    panel._start.click()
    records = _finished(panel)
    assert [record.plan.refitted for record in records] == [True, True]


@pytest.mark.slow
def test_the_brush_keeps_excludes_and_is_taken_back(explorer, panel):
    panel._start.click()
    records = _finished(panel)
    among, picking = panel._among, panel._session.record_filter
    among._metric.value = "macs"
    among._brush.value = (0, 12)
    assert len(among._figure.layout.shapes) == 1
    keep, drop = (
        next(b for b in _buttons(among.box) if b.description == t) for t in ("Keep", "Exclude")
    )
    keep.click()
    kept = picking.kept()
    assert 0 < len(kept) < len(records)
    assert sum(map(sum, (among._figure.data[0].y, among._figure.data[1].y))) == len(records)
    assert sum(among._figure.data[0].y) == len(kept)
    assert len(explorer.front_view.figure.data[4].x) == len(records) - len(kept)
    assert "macs in" in among._filters.value
    among._undo.click()
    assert picking.kept() == records
    among._redo.click()
    assert picking.kept() == kept
    among._clear.click()
    among._brush.value = (0, 12)
    drop.click()
    assert {*picking.kept()} == {*records} - {*kept}


def test_a_box_over_the_bars_moves_the_brush(panel):
    among = panel._among
    box = type("Box", (), {"xrange": (7.6, 2.2)})
    among._painted(box)
    assert among._brush.value == (2, 8)
    among._painted(type("Box", (), {"xrange": None}))
    assert among._brush.value == (2, 8)


def test_parallel_coordinates_are_made_on_demand(panel):
    panel._start.click()
    _finished(panel)
    among = panel._among
    assert among._place.children == ()
    among._parallel.value = True
    (figure,) = among._place.children
    axes = {axis.name: axis for axis in figure.data[0].dimensions}
    assert set(axes) == {"macs", "params", "relative_error", "clean", "robust"}
    axes["robust"].constraintrange = [20, 100]
    assert among._place.children == (figure,), "it stays under the hand"
    assert panel._session.record_filter.filters.bounds == (Range("robust", 0.2, 1.0),)
    among._undo.click()
    assert among._place.children[0] is not figure
    assert panel._session.record_filter.filters.bounds == ()
    among._parallel.value = False
    assert among._place.children == ()


def test_bounds_grey_out_and_knee_and_cheapest_go_there(explorer):
    session = explorer.session
    session.show_setting(
        next(o.setting for o in session.measurements.settings() if o.measured > 20)
    )
    wanted, view = explorer.filter_bar, explorer.front_view
    records = session.measurements.records()
    wanted._boxes["robust"].value = "70 %"
    assert wanted._boxes["robust"].value == "70"
    grey = [record for record in records if record.robust < 0.7]
    assert 0 < len(grey) == len(view.figure.data[4].x) < len(records)
    assert f"{len(grey)} are greyed out" in view._note.value
    cheapest, knee = (
        next(b for b in _buttons(wanted.box) if b.description == t) for t in ("Cheapest", "Knee")
    )
    cheapest.click()
    least = min(r.macs for r in records if r.robust >= 0.7)
    assert session.summary.macs == least
    knee.click()
    assert session.measurements.of(session.plan).robust >= 0.7
    wanted._boxes["macs"].value = "1"
    cheapest.click()
    assert "no measured plan has" in session.message
    wanted._boxes["macs"].value = "much"
    assert "expected per cent" in session.message
    assert wanted._boxes["macs"].value == "1"
    session.record_filter.undo()
    session.record_filter.undo()
    assert wanted._boxes["robust"].value == ""
    assert len(view.figure.data[4].x) == 0


def test_the_settings_menu_is_there_when_there_are_several(explorer):
    session, menu = explorer.session, explorer.settings_menu
    assert menu.box.layout.display is None
    counts = [one.measured for one in session.measurements.settings()]
    assert counts == [0, len(gx.load("digits").records)]
    assert menu._menu.value == session.measurements.setting
    menu._menu.value = next(s for _, s in menu._menu.options if s.n == 360)
    assert session.measurements.attack == gx.PGD(0.15)
    assert len(session.measurements.records()) == counts[1]
    assert explorer.evaluate_bar._attack.value == "PGD"
    assert explorer.evaluate_bar._n.value == 360
    assert explorer.evaluate_bar._steps.value == 20


def test_a_moved_fader_only_moves_shapes(explorer, panel):
    sent = []
    explorer.front_view.figure.observe(lambda change: sent.append(change["new"]), "_py2js_update")
    explorer.session.controls.move_slider("conv4", [0.5])
    (message,) = [said for said in sent if said]
    assert message["style_data"] == {}
    assert set(message["layout_data"]) == {"shapes"}


def test_durations():
    assert [duration(s) for s in (0.2, 7, 34, 100, 1000, 5300, 5400, 9000, 36000)] == [
        "1 s", "7 s", "35 s", "2 min", "17 min", "88 min", "1 h 30 min", "2 h 30 min", "10 h",
    ]  # fmt: skip


def _buttons(box):
    for child in getattr(box, "children", ()):
        yield from _buttons(child)
        if hasattr(child, "description") and hasattr(child, "click"):
            yield child
