"""The messages of the desk and its state, without a browser."""

import pytest
from torch import nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense, family_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.utils.format import millions
from gdws_explorer.widgets.desk import (
    FAMILY_SETS,
    HANDLERS,
    LABELS,
    NETWORK_LABELS,
    DeskWidget,
    RowCache,
    left_alone,
    state_of,
    strips_of,
    totals,
)


@pytest.fixture
def desk(digits_session):
    made = DeskWidget(digits_session)
    digits_session.subscribe(lambda event, now: made.refresh(now), ["plan", "selection"])
    yield made
    made.close()


def send(desk, kind, seq=1, **message):
    desk.receive({"type": kind, "seq": seq, **message})
    return desk.state


def index_of(session, name):
    return session.network.names.index(name)


def test_a_strip_describes_a_layer(digits_network):
    strips = strips_of(digits_network)
    assert [strip["name"] for strip in strips] == list(digits_network.names)
    assert max(strip["height"] for strip in strips) == 1
    for strip in strips:
        layer = digits_network.layer(strip["name"])
        assert f"{layer.name} · {strip['size']}" == str(layer)
        assert [family for family, _, _ in strip["methods"]] == list(LABELS)
        for family, label, why in strip["methods"]:
            assert label == LABELS[family]
            assert (why is None) == (family == "dense" or family in layer.families)


def test_layers_that_are_left_alone_are_named_with_a_reason(digits_network, images):
    assert left_alone(digits_network) == ""
    convs = [nn.Conv2d(1, 2, 3), *(nn.Conv2d(2, 2, 1, groups=2) for _ in range(6))]
    network = Network(nn.Sequential(*convs), images[0][:1])
    others = [layer for layer in network.layers if not layer.families]
    assert len(others) == 6
    text = left_alone(network)
    for layer in others[:4]:
        assert f"{layer.name}: {next(iter(layer.reasons.values()))}" in text
    assert text.startswith("Left as they are: ")
    assert text.endswith("; and 2 more.")


def test_the_state_is_that_of_the_session(digits_session):
    digits_session.controls.move_budget("macs", 0.4)
    now = digits_session.snapshot
    state = state_of(now, 7, {"abc": "fine-tuned"})
    assert state["seq"] == 7
    assert now.network.names[state["selected"]] == now.selected
    assert state["network"]["position"] == now.budget.position == 0.4
    assert state["network"]["number"] == "40.0"
    assert state["network"]["sources"][-1] == ["abc", "trained: fine-tuned"]
    assert [row["family"] for row in state["rows"]] == [family_of(c) for _, c in now.plan]
    assert [row["positions"] for row in state["rows"]] == list(now.positions.values())
    for row, layer in zip(state["rows"], now.summary.layers.values(), strict=True):
        assert row["kept"] == layer.macs / layer.dense_macs
        assert row["larger"] == layer.larger


def test_the_totals_are_before_and_after(digits_session):
    digits_session.controls.move_budget("macs", 0.4)
    summary = digits_session.summary
    lines = {label: rest for label, *rest in totals(summary, "‖W‖²")}
    assert lines["MACs"][:2] == [millions(summary.dense_macs), millions(summary.macs)]
    assert lines["parameters"][:2] == [millions(summary.dense_params), millions(summary.params)]
    assert lines["squared error"][1] == f"{summary.error:.4g}"


def test_rows_of_layers_that_did_not_change_are_kept(digits_session):
    cache = RowCache()
    before = cache.of(digits_session.snapshot)
    digits_session.controls.move_slider("conv3", [0.5])
    after = cache.of(digits_session.snapshot)
    assert after == RowCache().of(digits_session.snapshot)
    for name, old, new in zip(digits_session.network.names, before, after, strict=True):
        assert (old is new) == (name != "conv3")


def test_messages_move_type_lock_and_skip_a_layer(desk, digits_session):
    controls, layer = digits_session.controls, index_of(digits_session, "conv4")
    row = send(desk, "move", layer=layer, values=[0.5], gesture="a")["rows"][layer]
    assert tuple(row["positions"]) == controls.positions("conv4") == (0.5,)
    assert controls.selected == "conv4"
    send(desk, "slide by", by="rank")
    send(desk, "method", layer=layer, family="gdws")
    assert send(desk, "number", layer=layer, texts=[" 12 "])["rows"][layer]["numbers"] == ["12"]
    assert digits_session.plan["conv4"] == GDWS(12)
    assert send(desk, "lock", layer=layer, on=True)["rows"][layer]["locked"]
    assert send(desk, "skip", layer=layer, on=True)["rows"][layer]["skipped"]
    assert digits_session.plan["conv4"] == Dense()
    send(desk, "undo")
    send(desk, "undo")
    assert digits_session.plan["conv4"] == GDWS(12)
    assert not send(desk, "undo")["rows"][layer]["larger"]


@pytest.mark.parametrize("text", ["45", "45 %", "45,0"])
def test_per_cent_may_be_typed_in_several_forms(desk, digits_session, text):
    state = send(desk, "network number", by="macs", text=text)
    assert state["network"]["number"] == "45.0"
    assert digits_session.controls.budget.position == pytest.approx(0.45)


@pytest.mark.parametrize("by", [by for by, _ in NETWORK_LABELS if by not in {"alpha", "ms"}])
def test_the_number_that_is_shown_can_be_typed_again(desk, digits_session, by):
    shown = send(desk, "network", by=by, value=0.4, gesture="a")["network"]["number"]
    again = send(desk, "network number", by=by, text=shown)["network"]
    assert again["number"] == shown
    assert again["position"] == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("name", FAMILY_SETS)
def test_the_families_of_the_budget_are_chosen_by_name(desk, digits_session, name):
    assert send(desk, "families", value=name)["network"]["family"] == name
    assert digits_session.controls.state.families == FAMILY_SETS[name]
    send(desk, "network", by="macs", value=0.5, gesture="a")
    used = {family_of(choice) for _, choice in digits_session.plan}
    assert used <= {"dense", *FAMILY_SETS[name]}


ERRORS = [
    (
        {"type": "families", "value": "x"},
        f"unknown families 'x'; expected one of any, {', '.join(FAMILIES)}.",
    ),
    (
        {"type": "network number", "by": "macs", "text": "ten"},
        "'ten' is not a number; expected one such as 12 or 0.5.",
    ),
    (
        {"type": "method", "layer": 3, "family": "x"},
        f"unknown family 'x'; expected one of {', '.join(FAMILIES)}.",
    ),
    (
        {"type": "weighing", "value": "x"},
        "unknown weighing 'x'; expected one of ('relative', 'squared').",
    ),
]


@pytest.mark.parametrize(("message", "words"), ERRORS)
def test_an_error_is_a_message_and_the_number_is_acknowledged(
    desk, digits_session, monkeypatch, message, words
):
    sent, plan = [], digits_session.plan
    monkeypatch.setattr(type(desk), "send", lambda self, content: sent.append(content))
    desk.receive({"seq": 9, **message})
    assert digits_session.failed
    assert digits_session.message == words
    assert digits_session.plan == plan
    assert sent == [{"type": "acknowledged", "seq": 9}]


def test_steps_along_the_front_are_records(desk, digits_session):
    digits_session.controls.move_budget("macs", 0.5)
    send(desk, "walk", step=-1)
    assert digits_session.snapshot.record is not None
    assert set(HANDLERS) >= {"walk", "undo", "redo", "source"}
