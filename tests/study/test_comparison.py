"""Plans side by side: only what differs, and how sure the difference is."""

from dataclasses import replace

import pytest

import gdws_explorer as gx
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.study.comparison import ComparedPlan, comparison_table, paired
from gdws_explorer.study.records import record_of


@pytest.fixture(scope="module")
def pinned(bench):
    net = gx.Network(bench.model, bench.example).prepare()
    found = {}
    for letter, plan in (("A", net.plan()), ("B", net.budget(macs=0.08))):
        report = gx.evaluate(net.build(plan), bench.data, gx.FGSM(0.15), n=60)
        summary = net.summary(plan)
        record = record_of(plan, summary, report, data=data_fingerprint(*bench.data))
        found[letter] = ComparedPlan(plan, summary, record), report
    return found


def test_only_what_differs_is_there(pinned):
    pins = {letter: pin for letter, (pin, _) in pinned.items()}
    lines = {line.label: line.cells for line in comparison_table(pins)}
    assert "conv1" not in lines, "dense in both"
    assert lines["conv4"] == tuple(str(pin.plan["conv4"]) for pin in pins.values())
    macs = [pin.summary.macs for pin in pins.values()]
    assert lines["MACs"][0] == f"{macs[0]:,} (100%)"
    assert lines["MACs"][1].startswith(f"{macs[1]:,} (")
    low, high = pins["B"].record.robust_interval
    assert f"({low:.1%} to {high:.1%}), n 60" in lines["robust accuracy"][1]


def test_one_plan_alone_shows_everything(pinned):
    pin = pinned["A"][0]
    labels = [line.label for line in comparison_table({"A": pin})]
    assert labels[:4] == ["MACs", "parameters", "bytes", "relative error"]
    assert labels[-1] == "fc"
    assert not any("same images" in label for label in labels)


def test_differences_are_those_of_compare(pinned):
    (a, first), (b, second) = pinned.values()
    found = gx.compare(first, second, "robust")
    words = paired(a.record, b.record, "robust")
    assert words.startswith(f"{100 * found.difference:+.1f} points (")
    assert f"p {found.p:.2g}" in words
    assert ("may be chance" in words) == (found.interval[0] <= 0 <= found.interval[1])
    assert "may be chance" in paired(a.record, a.record, "clean")


def test_what_cannot_be_compared_is_said(pinned):
    a, b = (pin.record for pin, _ in pinned.values())
    assert paired(a, None, "clean") == "not measured"
    older = replace(b, clean_mask=None, robust_mask=None)
    assert "evaluate both again" in paired(a, older, "clean")
    unattacked = replace(b, robust=None, robust_correct=None, attack=None)
    assert paired(a, unattacked, "robust") == ""
