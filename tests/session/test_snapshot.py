"""The snapshot: one value for every view, computed once per change."""

import dataclasses

import pytest

import gdws_explorer as gx
from gdws_explorer.network.network import Network
from gdws_explorer.session.snapshot import Snapshot


def test_it_is_the_state_of_the_session(digits_session):
    session = digits_session
    session.controls.move_budget("macs", 0.4)
    session.controls.lock_layer("conv4", True)
    now = session.snapshot
    assert now.plan == session.plan == now.state.plan
    assert now.network is session.network
    assert now.summary == session.network.summary(session.plan)
    assert (now.budget, now.budget_number) == (
        session.controls.budget,
        session.controls.budget_number,
    )
    assert "conv4" in now.state.locked
    assert (now.can_undo, now.can_redo) == (True, False)
    assert (now.source, now.reading_images, now.estimate) == ("weights", False, None)
    assert now.error_unit == "‖W‖²"
    assert now.record == session.measurements.of(session.plan)


def test_it_is_frozen_and_a_change_makes_another(digits_session):
    session = digits_session
    first = session.snapshot
    assert session.snapshot is first
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.selected = "conv2"
    session.controls.select("conv5")
    assert session.snapshot is not first
    assert (first.selected, session.snapshot.selected) == ("conv2", "conv5")
    assert isinstance(session.snapshot, Snapshot)


def test_listeners_share_one_snapshot_and_one_summary(digits_session, monkeypatch):
    session, seen, summaries = digits_session, [], []
    for _ in range(5):
        session.subscribe(lambda event, snapshot: seen.append((event, snapshot, snapshot.summary)))
    real = Network.summary

    def counted(self, plan):
        summaries.append(plan)
        return real(self, plan)

    monkeypatch.setattr(Network, "summary", counted)
    session.controls.move_slider("conv4", [0.3])
    assert [event for event, _, _ in seen] == ["plan"] * 5
    assert len({id(snapshot) for _, snapshot, _ in seen}) == 1
    assert summaries == [session.plan]


def test_a_message_does_not_make_another(digits_session):
    first = digits_session.snapshot
    digits_session.show_message("hello")
    assert digits_session.snapshot is first


def test_a_record_of_the_plan_is_in_it(digits_session, bench):
    digits_session.show(bench.records[3].plan)
    assert digits_session.snapshot.record.plan == bench.records[3].plan
    digits_session.measure_with(gx.FGSM(0.15), 20)
    assert digits_session.snapshot.record is None
