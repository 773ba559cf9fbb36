"""The time bar, with times that were not really measured."""

import dataclasses

import pytest

from gdws_explorer.network.latency.latency import LatencyTable, Spread
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.time_bar import TimeBar


@pytest.fixture
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def table(session):
    return LatencyTable(
        32, 1, "cpu", {"processor": "Test"}, session.network.fingerprint, 2.0,
        Spread(1.95, 2.1, 9), {}, "onnxruntime", 0.99,
    )  # fmt: skip


def test_the_button_measures_and_the_line_says_what(session, table, monkeypatch):
    given = []
    monkeypatch.setattr(
        Session, "measure_latency",
        lambda self, runtime, *, batch, again: given.append((runtime, batch, again)),
    )  # fmt: skip
    bar = TimeBar(session)
    assert "MACs are not time" in bar.line.value
    bar.batch.value = 32
    bar.measure_button.click()
    session.views.use_latencies(table)
    bar.refresh(dataclasses.replace(session.snapshot))
    assert "ONNX Runtime, batch 32, 1 thread(s), Test: dense 2 ms" in bar.line.value
    bar.measure_button.click()  # the same again: measured anew
    bar.runtime.value = "torch"
    bar.measure_button.click()
    assert given == [("onnxruntime", 32, False), ("onnxruntime", 32, True), ("torch", 32, False)]


def test_a_noisy_machine_is_said(table):
    assert "measure again" not in table.label
    noisy = dataclasses.replace(table, spread=Spread(1.0, 3.0, 9))
    assert "other programs disturbed the measurement: measure again" in noisy.label
