"""The desk, undo, presets and the front as a line."""

import pytest

from gdws_explorer.bench import load
from gdws_explorer.errors import BudgetError, ExplorerError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense, Tucker2, family_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.control_state import BudgetSetting, ControlState
from gdws_explorer.session.presets import PRESETS
from gdws_explorer.session.undo import STEPS, UndoHistory
from gdws_explorer.study.pareto import front_indices, neighbour


@pytest.fixture(scope="module")
def bench():
    return load("digits")


@pytest.fixture(scope="module")
def network(bench):
    return Network(bench.model, bench.example)


@pytest.fixture
def desk(network):
    return ControlState(network.plan(), skipped=network.skip)


@pytest.mark.parametrize(
    ("by", "place"), [("macs", 0.3), ("params", 0.3), ("error", 0.05), ("beta", 0.3)]
)
def test_the_network_budget_leaves_locked_and_skipped_layers_alone(network, desk, by, place):
    desk = desk.choose("conv4", GDWS(100)).lock("conv4", True).skip("conv6", True)
    moved = desk.under(network, BudgetSetting(by, place))
    assert moved.plan["conv4"] == GDWS(100)
    assert moved.plan["conv6"] == Dense()
    assert moved.plan["conv1"] == Dense()
    assert moved.plan["conv2"] != Dense()
    assert moved.budget == BudgetSetting(by, place)


def test_a_budget_out_of_reach_gives_the_cheapest_plan(network, desk):
    moved = desk.under(network, BudgetSetting("macs", 0.0))
    share = network.summary(moved.plan).macs / network.macs
    assert share == pytest.approx(network.least("macs", skip=desk.skipped))


@pytest.mark.parametrize("by", ["macs", "params", "error"])
def test_out_of_reach_is_an_error_only_when_it_is_typed(network, desk, by):
    held = desk.choose("conv4", GDWS(1)).lock("conv4", True)
    with pytest.raises(BudgetError, match="cannot be met"):
        held.bounded(network, by, 1e-4)
    place = 1.0 if by == "error" else 0.0
    assert held.under(network, BudgetSetting(by, place)).plan["conv4"] == GDWS(1)


def test_families_limit_the_budget(network, desk):
    assert desk.families == tuple(FAMILIES)
    for one in FAMILIES:
        moved = desk.under(network, BudgetSetting("macs", 0.3)).allow(network, (one,))
        assert {family_of(choice) for _, choice in moved.plan} == {"dense", one}


def test_skipping_makes_a_layer_dense_and_choosing_takes_it_back(desk):
    skipped = desk.choose("conv4", GDWS(5)).lock("conv4", True).skip("conv4", True)
    assert skipped.plan["conv4"] == Dense()
    assert "conv4" not in skipped.locked
    assert "conv4" not in skipped.choose("conv4", GDWS(7)).skipped
    assert "conv4" not in skipped.skip("conv4", False).skipped


def test_an_unknown_layer_is_named(desk):
    with pytest.raises(PlanError, match="conv9"):
        desk.lock("conv9", True)


def test_one_gesture_is_one_step():
    history = UndoHistory(0)
    for state in (1, 2, 3):
        history.put(state, gesture="drag")
    history.put(4)
    history.put(4)
    assert history.undo()
    assert history.present == 3
    assert history.undo()
    assert history.present == 0
    assert not history.undo()
    assert history.redo()
    assert history.present == 3
    history.put(9)
    assert not history.redo()


def test_a_gesture_after_undo_is_a_step_of_its_own():
    history = UndoHistory(0)
    history.put(1, gesture="a")
    history.undo()
    history.put(2, gesture="a")
    assert history.undo()
    assert history.present == 0


def test_history_is_bounded():
    history = UndoHistory(-1)
    for state in range(3 * STEPS):
        history.put(state)
    assert len(history.past) == STEPS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_plans_that_respect_what_is_held(network, name):
    fixed = {"conv4": Tucker2(9, 9)}
    plan = PRESETS[name](network, skip={"conv1", "conv6"}, fixed=fixed)
    network.check(plan)
    assert plan["conv4"] == Tucker2(9, 9)
    assert plan["conv1"] == plan["conv6"] == Dense()
    assert plan["conv2"] != Dense()


def test_the_front_can_be_walked(bench):
    records = bench.records
    line = [records[i] for i in front_indices(records, "robust", "macs")]
    assert [r.macs for r in line] == sorted(r.macs for r in line)
    assert [r.robust for r in line] == sorted(r.robust for r in line)
    here = line[0].macs
    walked = [line[0]]
    for _ in line[1:]:
        walked.append(neighbour(records, here, 1, "robust", "macs"))
        here = walked[-1].macs
    assert walked == line
    assert neighbour(records, here, -1, "robust", "macs") == line[-2]
    with pytest.raises(ExplorerError, match="end of the front"):
        neighbour(records, here, 1, "robust", "macs")
    with pytest.raises(ExplorerError, match="empty"):
        neighbour([], here, 1, "robust", "macs")
