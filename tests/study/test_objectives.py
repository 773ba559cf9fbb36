"""Objectives and constraints of a search."""

import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.objectives import Objectives, parse_constraint


def test_infeasible_records_are_on_no_front(record, network):
    few, many = record(1, robust=90), record(2, robust=300)
    aim = Objectives(network, constraints={"robust": 0.5})
    assert aim.front([few, many]) == (many,)
    assert aim.front([few]) == ()
    assert aim.hypervolume([few]) == 0
    assert list(aim.hypervolume_history([few, many])) == [0, aim.hypervolume([many])]
    assert aim.front([record(robust=None)]) == ()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("robust >= 0.45", ("robust", 0.45)),
        ("robust ≥ 45 %", ("robust", 0.45)),
        ("macs<=40%", ("macs", 0.4)),
        ("ms ≤ 3.5", ("ms", 3.5)),
    ],
)
def test_constraints_in_words(text, read):
    assert parse_constraint(text) == pytest.approx(read)


@pytest.mark.parametrize("text", ["robust <= 0.4", "macs >= 1", "speed <= 3", "robust", "macs<=."])
def test_words_that_are_no_constraint(text):
    with pytest.raises(
        ExplorerError, match=r"cannot read the constraint .* expected something like"
    ):
        parse_constraint(text)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objectives": ("robust",)}, "expected two or three different ones"),
        ({"objectives": ("robust", "robust")}, "expected two or three different ones"),
        ({"objectives": ("robust", "speed")}, "unknown objective 'speed'"),
        ({"constraints": {"robust": 45}}, "the constraint on robust is 45"),
        ({"objectives": ("robust", "ms")}, "ms needs measured times; call net.measure_latency"),
    ],
)
def test_aims_that_make_no_sense(network, settings, says):
    with pytest.raises(ExplorerError, match=says):
        Objectives(network, **settings)
