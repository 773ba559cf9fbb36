"""The controls of one network, without a session."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, ExplorerError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, Tucker2, family_of
from gdws_explorer.session.controls import Controls
from gdws_explorer.session.presets import PRESETS
from gdws_explorer.study.comparison import LETTERS
from gdws_explorer.study.network_views import NetworkViews

HALF = "Half the MACs, best family per layer"


@pytest.fixture
def events():
    return []


@pytest.fixture
def controls(digits_network, events):
    return Controls(NetworkViews(digits_network, None), events.append)


def test_it_begins_with_the_dense_plan_and_the_first_layer_that_is_not_skipped(
    controls, digits_network
):
    assert controls.plan == digits_network.plan()
    assert controls.state.skipped == digits_network.skip
    assert controls.selected == next(
        n for n in digits_network.names if n not in controls.state.skipped
    )
    assert controls.source == "weights"
    assert controls.budget.position == 1


def test_a_network_without_a_layer_to_approximate_is_refused():
    depthwise = nn.Conv2d(2, 2, 3, groups=2)
    with pytest.raises(PlanError, match="no layer of this network can be approximated: 0: "):
        Controls(NetworkViews(Network(nn.Sequential(depthwise), torch.rand(1, 2, 8, 8)), None))


def test_every_change_notifies_once(controls, events):
    for change, event in [
        (lambda: controls.move_slider(controls.selected, [0.5]), "plan"),
        (lambda: controls.move_budget("macs", 0.5), "plan"),
        (lambda: controls.apply_preset(HALF), "plan"),
        (controls.undo, "plan"),
        (controls.redo, "plan"),
        (controls.reset, "plan"),
        (lambda: controls.select("conv5"), "selection"),
        (lambda: controls.set_slider_meaning("rank"), "selection"),
        (lambda: controls.set_budget_meaning("error"), "selection"),
        (lambda: controls.pin("A"), "pins"),
    ]:
        events.clear()
        change()
        assert events == [event]


def test_nothing_to_change_notifies_nobody(controls, events):
    controls.select(controls.selected)
    controls.put(controls.plan)
    controls.undo()
    controls.redo()
    assert controls.change_source(controls.network) == ()
    assert events == []


def test_undo_goes_back_to_every_state(controls):
    states = [controls.state]
    for change in (
        lambda: controls.move_slider("conv3", [0.4]),
        lambda: controls.lock_layer("conv3", True),
        lambda: controls.skip_layer("conv4", True),
        lambda: controls.set_families(("gdws",)),
        lambda: controls.set_weighing("squared"),
        lambda: controls.apply_preset(HALF),
    ):
        change()
        states.append(controls.state)
    assert len(set(map(id, states))) == len(states)
    for state in reversed(states[:-1]):
        controls.undo()
        assert controls.state == state
    for state in states[1:]:
        controls.redo()
        assert controls.state == state


def test_locked_layers_stay_and_skipped_ones_are_dense(controls):
    controls.set_family("conv3", "tucker2")
    controls.lock_layer("conv3", True)
    controls.skip_layer("conv4", True)
    kept = controls.plan["conv3"]
    for change in (
        lambda: controls.move_budget("macs", 0.3),
        lambda: controls.move_budget("beta", 0.5),
        lambda: controls.apply_preset(HALF),
    ):
        change()
        assert controls.plan["conv3"] == kept
        assert controls.plan["conv4"] == Dense()


def test_the_summary_is_the_networks_own_and_computed_once(controls, digits_network):
    controls.move_budget("macs", 0.4)
    assert controls.summary == digits_network.summary(controls.plan)
    assert controls.summary is controls.summary


@pytest.mark.parametrize(("by", "number"), [("macs", 0.4), ("params", 0.5), ("error", 0.01)])
def test_a_budget_by_its_number_is_read_back(controls, by, number):
    controls.set_budget(by, number)
    assert controls.budget.by == controls.budget_meaning == by
    assert controls.budget_number == pytest.approx(number)


def test_a_family_is_changed_at_no_more_macs(controls, digits_network):
    controls.move_slider("conv4", [0.4])
    before = controls.summary.layers["conv4"].macs
    for family in ("svd", "tucker2", "gdws", "dense"):
        controls.set_family("conv4", family)
        assert family_of(controls.plan["conv4"]) == family
        if family != "dense":
            assert controls.summary.layers["conv4"].macs <= before
    assert controls.plan == digits_network.plan()


def test_the_numbers_of_a_slider_are_ranks_by_rank(controls):
    controls.set_slider_meaning("rank")
    for family, numbers, choice in [
        ("gdws", [7], GDWS(7)), ("svd", [6], SVD(6)), ("tucker2", [3, 5], Tucker2(3, 5)),
    ]:  # fmt: skip
        controls.set_family("conv4", family)
        controls.set_numbers("conv4", numbers)
        assert controls.plan["conv4"] == choice
        positions = controls.positions("conv4")
        controls.set_family("conv4", "dense")
        controls.set_family("conv4", family)
        controls.move_slider("conv4", positions)
        assert controls.plan["conv4"] == choice


@pytest.mark.parametrize("letter", LETTERS)
def test_a_pin_is_kept_until_it_is_removed(controls, letter):
    controls.apply_preset(HALF)
    controls.pin(letter)
    kept = controls.plan
    controls.reset()
    assert controls.pins == {letter: kept}
    controls.pin(letter, None)
    controls.pin(letter, None)
    assert controls.pins == {}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c: c.apply_preset("x"), ExplorerError, "unknown preset 'x'; expected one of "),
        (lambda c: c.pin("E"), ExplorerError, "unknown pin 'E'; expected one of A, B, C, D."),
        (lambda c: c.select("x"), PlanError, "the network has no layer 'x' that can be"),
        (lambda c: c.set_slider_meaning("x"), ExplorerError, "unknown meaning 'x' of a slider; "),
        (lambda c: c.move_budget("x", 1), ExplorerError, "unknown meaning 'x' of a slider; "),
        (
            lambda c: c.set_family("conv4", "x"),
            PlanError,
            "unknown family 'x'; expected one of gdws, tucker2, svd, spatial.",
        ),
        (lambda c: c.set_weighing("x"), BudgetError, "unknown weighing 'x'; expected one of "),
        (lambda c: c.set_budget_meaning("alpha"), PlanError, "α is not computed yet; choose "),
        (lambda c: c.set_budget("macs", 1e-6), BudgetError, "macs"),
    ],
)
def test_an_error_changes_nothing(controls, events, change, error, words):
    before = controls.state, controls.selected, controls.slider_meaning, controls.budget_meaning
    with pytest.raises(error) as raised:
        change(controls)
    assert words.lower() in str(raised.value).lower()
    after = controls.state, controls.selected, controls.slider_meaning, controls.budget_meaning
    assert after == before
    assert events == []


def test_a_family_that_the_layer_does_not_have_is_refused_with_the_reason(controls, digits_network):
    name = next(layer.name for layer in digits_network.layers if "gdws" in layer.reasons)
    with pytest.raises(PlanError) as raised:
        controls.set_family(name, "gdws")
    reason = digits_network.layer(name).reasons["gdws"]
    assert str(raised.value) == f"{name} cannot be approximated by gdws: {reason}."


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_steps_of_undo(controls, name):
    before = controls.state
    controls.apply_preset(name)
    assert controls.plan == PRESETS[name](controls.network, **before.held)
    controls.undo()
    assert controls.state == before


def test_the_slider_of_a_layer_that_is_dense_again_is_at_the_top(controls):
    name = controls.network.names[1]
    controls.move_slider(name, [0.6])
    assert controls.positions(name) == (0.6,)
    controls.undo()
    assert controls.plan[name] == Dense()
    assert controls.positions(name) == (1.0,)
    controls.redo()
    assert controls.positions(name) == (0.6,)
