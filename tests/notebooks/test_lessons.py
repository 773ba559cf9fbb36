"""Right answers are accepted, wrong ones refused with a hint, and nothing raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import gdws_explorer as gx
from gdws_explorer import lessons
from gdws_explorer.bench import Bench
from gdws_explorer.network.plans.cost import break_even
from gdws_explorer.study.records import Record


@pytest.fixture(scope="module")
def bench() -> Bench:
    return gx.load("digits")


@pytest.fixture(scope="module")
def network(bench: Bench) -> gx.Network:
    return gx.Network(bench.model, bench.example)


@pytest.fixture
def plan(network: gx.Network) -> Callable[..., gx.Plan]:
    return lambda **choices: network.plan(choices)


def within(network: gx.Network, name: str, share: float) -> gx.GDWS:
    """The cheapest GDWS of a layer within a share of its energy."""
    return gx.GDWS(int(network.gdws(name).lego(share * network.energy(name)).sum()))


def saved(network: gx.Network, name: str, choice: gx.GDWS) -> int:
    layer = network.summary(network.plan({name: choice})).layers[name]
    return layer.dense_macs - layer.macs


# -- question 1 ------------------------------------------------------------------------------


def test_the_layer_that_saves_most_is_accepted_and_every_other_refused(network, plan) -> None:
    best = {name: within(network, name, 0.1) for name in network.names if name != "fc"}
    winner = max(best, key=lambda name: saved(network, name, best[name]))
    for name, choice in best.items():
        verdict = lessons.saves_most(network, plan(**{name: choice}))
        assert bool(verdict) == (name == winner), str(verdict)
        if name != winner:
            assert "Another layer can save" in verdict.text
        else:
            assert f"{name} saves {saved(network, name, choice):,} MACs" in verdict.text


def test_tucker_is_an_answer_as_well(network, plan) -> None:
    spectrum, energy = network.tucker("conv2"), network.energy("conv2")
    pairs = [(o, i) for o in range(1, 33) for i in range(1, 33)]
    good = [plan(conv2=gx.Tucker2(o, i)) for o, i in pairs if spectrum.error(o, i) <= 0.1 * energy]
    assert lessons.saves_most(network, min(good, key=lambda p: network.summary(p).macs))


def test_a_wrong_answer_is_refused_with_a_hint(network, plan) -> None:
    full = network.gdws("conv2").full
    cases = [
        (plan(), "still dense"),
        (plan(conv2=gx.GDWS(160), conv4=gx.GDWS(440)), "Press Reset"),
        (plan(conv2=within(network, "conv2", 0.3)), "push its fader up"),
        (plan(conv2=gx.GDWS(full)), "as many MACs as before, or more"),
        (plan(conv2=within(network, "conv2", 0.04)), "Pull it further down"),
    ]
    for wrong, hint in cases:
        verdict = lessons.saves_most(network, wrong)
        assert not verdict
        assert hint in verdict.text
        assert str(verdict).startswith("Not yet: ")


# -- question 2 ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(bench: Bench, network: gx.Network) -> Record:
    """A record within the budget; its accuracy is set by the tests."""
    return min(bench.records, key=lambda r: abs(r.macs - 0.15 * network.macs))


def test_a_small_robust_plan_is_accepted(bench, network, measured) -> None:
    good = replace(measured, robust=0.844, robust_correct=304)
    verdict = lessons.small_and_robust(network.summary(good.plan), good, bench.attack)
    assert verdict
    assert "84.4% robust" in verdict.text
    assert "between 80% and 88%" in verdict.text


def test_wrong_plans_are_refused_with_a_hint(bench, network, measured) -> None:
    def hint(plan: gx.Plan, record: Record | None) -> str:
        verdict = lessons.small_and_robust(network.summary(plan), record, bench.attack)
        assert not verdict
        return verdict.text

    weak = replace(measured, attack=gx.FGSM(0.15).to_dict(), robust=0.9, robust_correct=324)
    few = replace(measured, n=10, clean_correct=10, robust_correct=9, robust=0.9)
    not_attacked = replace(measured, attack=None, robust=None, robust_correct=None)
    poor = replace(measured, robust=0.5, robust_correct=180)
    assert "100.0% of the MACs" in hint(network.plan(), None)
    assert "Press Evaluate" in hint(measured.plan, None)
    assert "FGSM" in hint(measured.plan, weak)
    assert "on 10 images" in hint(measured.plan, few)
    assert "with no attack" in hint(measured.plan, not_attacked)
    assert "50.0% robust, below 75%" in hint(measured.plan, poor)


def test_no_bundled_record_gives_the_answer_away(bench, network) -> None:
    for record in bench.records:
        summary = network.summary(record.plan)
        assert not lessons.small_and_robust(summary, record, bench.attack)


@pytest.mark.slow
def test_the_networks_fader_reaches_the_answer(bench, network) -> None:
    plan = network.budget(macs=0.19, weights="relative")
    report = gx.evaluate(network.build(plan), bench.data, bench.attack, n=360)
    assert network.summary(plan).macs <= 0.19 * network.macs
    assert report.robust is not None
    assert report.robust >= 0.75


# -- question 3 ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv2", "conv3", "conv4", "conv5", "conv6"])
def test_the_last_kernel_that_pays_is_accepted_and_the_next_refused(network, plan, name) -> None:
    limit = break_even(network.layer(name))
    right = lessons.just_below_break_even(network, plan(**{name: gx.GDWS(limit)}))
    wrong = lessons.just_below_break_even(network, plan(**{name: gx.GDWS(limit + 1)}))
    assert right
    assert f"The largest G that is cheaper is {limit}" in right.text
    assert not wrong
    assert "more expensive than before" in wrong.text


@pytest.mark.parametrize(
    ("choices", "hint"),
    [
        ({}, "no layer is GDWS"),
        ({"conv4": gx.Tucker2(20, 20)}, "no layer is GDWS"),
        ({"conv4": gx.GDWS(300)}, "not just below break-even"),
    ],
)
def test_other_plans_are_refused_with_a_hint(network, plan, choices, hint) -> None:
    verdict = lessons.just_below_break_even(network, plan(**choices))
    assert not verdict
    assert hint in verdict.text


def test_a_verdict_reads_well_in_a_notebook() -> None:
    assert lessons.Verdict(True, "so it is.")._repr_markdown_() == "✓ **Right:** so it is."
    assert repr(lessons.Verdict(False, "pull.")) == "Not yet: pull."
