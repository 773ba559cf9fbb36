"""The inputs of an evaluation, and the menu of settings."""

import pytest

import gdws_explorer as gx
from gdws_explorer.session.session import Session
from gdws_explorer.study.attack_settings import ATTACK_TYPES
from gdws_explorer.widgets.evaluate_bar import EvaluateBar, SettingsMenu


@pytest.fixture
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def bar(session):
    return EvaluateBar(session, lambda: session.show_message("fine-tune"))


@pytest.mark.parametrize("kind", ATTACK_TYPES)
def test_only_the_inputs_of_the_attack_are_shown(bar, kind):
    bar.attack.value = kind
    bar.refresh()
    shown = {
        name: getattr(bar, name).layout.display is None for name in ("eps", "steps", "restarts")
    }
    attack = ATTACK_TYPES[kind]
    assert shown == {
        "eps": kind != "none",
        "steps": attack.steps is not None,
        "restarts": attack.restarts,
    }


def test_an_input_changes_the_setting_once(bar, session):
    changes = []
    session.subscribe(lambda event, _snapshot: changes.append(event), ["records"])
    bar.attack.value = "Square"  # with its own number of queries
    assert changes == ["records"]
    assert session.measurements.attack == gx.Square(0.15, 1000)
    bar.n.value = 17
    assert session.measurements.n == 17
    assert len(changes) == 2


def test_it_follows_a_setting_that_another_view_chose(bar, session):
    session.measure_with(gx.PGD(0.1, steps=7, norm="l2"), 30)
    bar.refresh()
    assert (bar.attack.value, bar.norm.value, bar.eps.value) == ("PGD", "l2", "0.1")
    assert (bar.steps.value, bar.n.value) == (7, 30)
    assert session.measurements.n == 30, "showing a setting changes nothing"


def test_buttons_evaluate_and_open_fine_tuning(bar, session):
    session.measure_with(gx.FGSM(0.15), 20)
    bar.refresh()
    bar.evaluate_button.click()
    session.jobs.wait(60)
    assert session.measurements.of(session.plan).n == 20
    bar.finetune_button.click()
    assert session.message == "fine-tune"


def test_the_menu_lists_settings_with_records_and_shows_one(session):
    menu = SettingsMenu(session)
    assert menu.box.layout.display == "none", "there is one setting"
    other = session.measurements.setting
    session.measure_with(gx.FGSM(0.15), 20)
    menu.refresh()
    assert menu.box.layout.display is None
    assert menu.menu.value == session.measurements.setting
    menu.menu.value = other
    assert session.measurements.shown == other
