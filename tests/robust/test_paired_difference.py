"""Paired comparison of two measurements."""

import numpy as np
import pytest

import gdws_explorer as gx
from gdws_explorer.errors import DataError
from gdws_explorer.robust.attacks import FGSM
from gdws_explorer.robust.paired_difference import PairedDifference, compare
from gdws_explorer.robust.report import Report


def report(mask, attack=None, seed=0):
    mask = np.array(mask, dtype=bool)
    count = int(mask.sum())
    return Report(count, count, len(mask), attack, seed, 0.0, clean_mask=mask, robust_mask=mask)


def test_counts_and_the_exact_test():
    first = report([1] * 12 + [0] * 3 + [1] * 60 + [0] * 25)
    second = report([0] * 12 + [1] * 3 + [1] * 60 + [0] * 25)
    paired = compare(first, second)
    assert (paired.only_first, paired.only_second, paired.n) == (12, 3, 100)
    assert paired.difference == pytest.approx(-0.09)
    low, high = paired.interval
    assert low < -0.09 < high < 0
    # 2 · P(X ≤ 3), X of 15 fair coins
    assert paired.p == pytest.approx(2 * (1 + 15 + 105 + 455) / 2**15)
    assert "-9.0 points" in str(paired)


def test_equal_networks_differ_by_nothing():
    same = report([1, 0, 1, 1] * 10)
    paired = compare(same, same)
    assert (paired.difference, paired.p) == (0, 1)
    assert paired.interval[0] < 0 < paired.interval[1]


def test_the_interval_covers_what_it_should():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        u = rng.random(200)
        first, second = u < 0.6, (u > 0.1) & (u < 0.65)
        low, high = compare(report(first), report(second)).interval
        hits += low <= -0.05 <= high
    assert 0.92 <= hits / 400 <= 0.99


def test_only_like_is_compared_with_like():
    one = report([1, 0], FGSM(0.1))
    for other in (report([1, 0], FGSM(0.2)), report([1, 0], FGSM(0.1), 1), report([1], FGSM(0.1))):
        with pytest.raises(DataError, match="expected the same"):
            compare(one, other)
    assert compare(one, report([1, 0], FGSM(0.2)), "clean").n == 2
    with pytest.raises(DataError, match="no robust results"):
        compare(one, Report(1, 1, 2, FGSM(0.1), 0, 0.0))
    with pytest.raises(DataError, match="metric"):
        compare(one, one, "speed")


def test_on_real_plans():
    bench = gx.load("digits")
    net = gx.Network(bench.model, bench.example)
    reports = [
        gx.evaluate(
            net.build(net.budget(macs=m, weights="relative")), bench.data, FGSM(0.15), n=120
        )
        for m in (0.6, 0.12)
    ]
    paired = compare(*reports)
    assert paired.difference == pytest.approx(reports[1].robust - reports[0].robust)
    assert paired.p < 0.05


@pytest.mark.parametrize(("gone", "came"), [(0, 0), (1, 0), (3, 9), (40, 41), (500, 430)])
def test_p_is_that_of_the_binomial_test(gone, came):
    from scipy.stats import binomtest

    found = PairedDifference(gone, came, 2000).p
    expected = 1.0 if gone + came == 0 else binomtest(gone, gone + came, 0.5).pvalue
    assert found == pytest.approx(expected, rel=1e-9)
