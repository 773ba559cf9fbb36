"""What a hover over a record says."""

import pytest

import gdws_explorer as gx
from gdws_explorer.figures import pareto_front as fronts
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.study.records import record_of


@pytest.fixture(scope="module")
def measured():
    """Dense and small, as records and as reports."""
    bench = gx.load("digits")
    net = gx.Network(bench.model, bench.example)
    found = []
    for plan in (net.plan(), net.budget(macs=0.08)):
        report = gx.evaluate(net.build(plan), bench.data, gx.PGD(0.15, 5), n=100)
        record = record_of(plan, net.summary(plan), report, data=data_fingerprint(*bench.data))
        found.append((record, report))
    return found


def test_a_hover_says_setting_intervals_and_the_paired_difference(measured):
    (dense, dense_report), (small, small_report) = measured
    first, second = fronts.hover_texts([dense, small], dense)
    for text, record in ((first, dense), (second, small)):
        low, high = record.robust_interval
        assert f"robust {record.robust:.1%} (95 %: {low:.1%} to {high:.1%})" in text
        assert "PGD-5 ℓ∞ ε 0.15 · n 100 · seed 0" in text
        assert "step 0.075, random start" in text
    assert "against dense" not in first
    for metric in ("clean", "robust"):
        pair = gx.compare(dense_report, small_report, metric)
        assert f"{100 * pair.difference:+.1f} points against dense on the same images" in second
        assert f"({100 * pair.interval[0]:+.1f} to {100 * pair.interval[1]:+.1f})" in second


def test_records_pair_as_reports_do(measured):
    (dense, first), (small, second) = measured
    for metric in ("clean", "robust"):
        assert small.paired(dense, metric) == gx.compare(first, second, metric)


def test_without_verdicts_nothing_is_paired(measured):
    from dataclasses import replace

    (dense, _), (small, _) = measured
    older = replace(dense, clean_mask=None, robust_mask=None)
    assert small.paired(older, "clean") is None
    assert "against dense" not in fronts.hover_texts([older, small], older)[1]
