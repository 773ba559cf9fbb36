"""The toolbar: undo, redo, reset and presets."""

import ipywidgets as w
import pytest

from gdws_explorer.session.presets import PRESETS
from gdws_explorer.widgets import text
from gdws_explorer.widgets.form import inside
from gdws_explorer.widgets.toolbar import Toolbar


@pytest.fixture
def toolbar(digits_session):
    made = Toolbar(digits_session)
    digits_session.subscribe(lambda event, now: made.refresh(now), ["plan"])
    return made


@pytest.fixture
def buttons(toolbar):
    return {each.description: each for each in inside(toolbar.box) if isinstance(each, w.Button)}


@pytest.fixture
def presets(toolbar):
    (menu,) = (each for each in inside(toolbar.box) if isinstance(each, w.Dropdown))
    return menu


def test_it_begins_with_the_title(toolbar, digits_session):
    assert toolbar.box.children[0].value == text.head(digits_session)


def test_undo_and_redo_are_enabled_where_there_is_a_step(buttons, digits_session):
    undo, redo = buttons["Undo"], buttons["Redo"]
    assert (undo.disabled, redo.disabled) == (True, True)
    first = digits_session.controls.state
    digits_session.controls.move_budget("macs", 0.5)
    second = digits_session.controls.state
    assert (undo.disabled, redo.disabled) == (False, True)
    undo.click()
    assert digits_session.controls.state == first
    assert (undo.disabled, redo.disabled) == (True, False)
    redo.click()
    assert digits_session.controls.state == second
    assert (undo.disabled, redo.disabled) == (False, True)


def test_reset_makes_the_first_state_the_present_one(buttons, digits_session):
    first = digits_session.controls.state
    digits_session.controls.move_budget("macs", 0.5)
    digits_session.controls.lock_layer("conv3", True)
    buttons["Reset"].click()
    assert digits_session.controls.state == first


def test_a_preset_is_applied_and_the_menu_shows_its_title_again(presets, digits_session):
    name = list(PRESETS)[2]
    assert [value for _, value in presets.options] == ["", *PRESETS]
    presets.value = name
    controls = digits_session.controls
    assert controls.plan == PRESETS[name](controls.network, **controls.state.held)
    assert presets.value == ""
    controls.undo()
    presets.value = name
    assert controls.plan == PRESETS[name](controls.network, **controls.state.held)
