"""The sweep or search that the inputs define."""

import pytest

import gdws_explorer as gx
from gdws_explorer.session.session import Session
from gdws_explorer.study.study_spec import SearchSpec, SweepSpec
from gdws_explorer.widgets.panels.sweep_search_form import (
    OBJECTIVES,
    SEARCH,
    SWEEPS,
    SweepSearchForm,
)


@pytest.fixture(scope="module")
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def form(session):
    return SweepSearchForm(session, lambda: None)


@pytest.mark.parametrize("over", SWEEPS)
def test_a_sweep_has_its_points_on_the_chosen_line(form, over):
    form.sweep_over.value, form.points.value = over, 7
    spec = form.spec()
    assert isinstance(spec, SweepSpec)
    line = "beta" if over == "alpha" else over
    assert {name: getattr(spec.grid, name) for name in ("beta", "macs", "params")} == {
        "beta": (), "macs": (), "params": (), line: 7,
    }  # fmt: skip
    assert spec.alpha == (over == "alpha")


@pytest.mark.parametrize("words", OBJECTIVES)
def test_a_search_has_the_chosen_objectives_and_constraints(form, words):
    form.kind.value = SEARCH
    form.objectives.label = words
    form.constraints.value = "robust ≥ 45 %, macs <= 60 %"
    spec = form.spec()
    assert isinstance(spec, SearchSpec)
    assert tuple(spec.objectives) == OBJECTIVES[words]
    assert spec.constraints == {"robust": 0.45, "macs": 0.6}


def test_only_inputs_that_matter_are_shown(form):
    def shown():
        names = ("points", "families", "objectives", "sampler")
        return [name for name in names if getattr(form, name).layout.display is None]

    assert shown() == ["points"], "β is swept for GDWS only"
    form.sweep_over.value = "macs"
    assert shown() == ["points", "families"]
    form.kind.value = SEARCH
    assert shown() == ["families", "objectives", "sampler"]


def test_every_input_is_reported(session):
    changes = []
    form = SweepSearchForm(session, lambda: changes.append(form.spec()))
    form.points.value = 3
    form.sweep_over.value = "macs"
    assert [spec.grid.beta or spec.grid.macs for spec in changes] == [3, 3]


def test_without_images_there_is_nothing_to_measure(bench):
    session = Session(bench.model, example=bench.example)
    form = SweepSearchForm(session, lambda: None)
    with pytest.raises(gx.DataError, match="no images to measure on"):
        form.spec()
    session.close()


def test_processes_are_workers(form):
    assert form.workers is None
    form.processes.label = "2 processes"
    assert form.workers == 2
