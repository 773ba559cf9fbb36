"""Seconds per plan, judged by the records."""

from dataclasses import replace

import pytest

from gdws_explorer.network.network import Network
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.seconds_per_plan import measured_pace
from gdws_explorer.utils.provenance import machine


@pytest.fixture(scope="module")
def network(bench):
    return Network(bench.model, bench.example)


def test_how_long_comes_from_the_latest_records(network, bench):
    nothing = Measurements(network, bench.data, bench.attack)
    assert measured_pace(nothing).seconds is None
    spent = [4.0, 1.0, 3.0]
    records = [
        replace(r, seconds=s, timings={"build s": 0.5}, created=f"2026-01-0{i + 1}T00:00:00+00:00")
        for i, (r, s) in enumerate(zip(bench.records, spent, strict=False))
    ]
    mine = [replace(r, machine=machine()) for r in records]
    here = Measurements(network, bench.data, bench.attack, mine)
    there = [replace(r, machine="abacus") for r in records]
    elsewhere = Measurements(network, bench.data, bench.attack, there)
    assert measured_pace(here) == (3.5, "")
    assert measured_pace(elsewhere) == (3.5, "from another machine")
    elsewhere.change(bench.attack, 90)
    assert measured_pace(elsewhere).seconds == pytest.approx(3.5 / 4)
    assert "other attacks" in measured_pace(elsewhere).guess
    elsewhere.change(None, 360)
    assert measured_pace(elsewhere).seconds < 3.5 / 10
