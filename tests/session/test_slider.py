"""What the position of a fader means."""

import pytest
import torch

from gdws_explorer.bench import load
from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2, family_of
from gdws_explorer.network.plans.cost import break_even, cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.slider import MEANINGS, LayerScale
from gdws_explorer.study.budget_scale import (
    NETWORK_MEANINGS,
    network_number,
    network_position,
    network_share,
)


@pytest.fixture(scope="module")
def network():
    bench = load("digits")
    return Network(bench.model, bench.example)


@pytest.mark.parametrize("by", MEANINGS)
@pytest.mark.parametrize("one", FAMILIES)
def test_up_always_keeps_more(network, one, by):
    dial = LayerScale(network, "conv4")
    axes = len(FAMILIES[one].ranks) if by == "rank" else 1
    choices = [dial.choice(one, by, [p / 20] * axes) for p in range(21)]
    errors = [network.error("conv4", choice) for choice in choices]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[-1]


@pytest.mark.parametrize("by", MEANINGS)
@pytest.mark.parametrize(
    "choice",
    [GDWS(117), GDWS(1), Tucker2(20, 31), SVD(29), SVD(1), SpatialSVD(41), SpatialSVD(95)],
)
def test_the_position_of_a_choice_leads_back_to_it(network, choice, by):
    dial = LayerScale(network, "conv4")
    one = family_of(choice)
    again = dial.choice(one, by, dial.positions(choice, by))
    # By error and MACs the table's best choice at that place, which is no worse.
    layer = network.layer("conv4")
    assert cost(layer, again).macs <= cost(layer, choice).macs
    assert network.error("conv4", again) <= network.error("conv4", choice) * (1 + 1e-9) + 1e-12
    if by == "rank":
        assert again == choice


@pytest.mark.parametrize("by", MEANINGS)
def test_every_position_leads_back(network, by):
    """No fader drifts when what it shows is set again, whatever the layer and family."""
    for name in network.names:
        dial, layer = LayerScale(network, name), network.layer(name)
        for one in layer.families:
            ranks, _ = FAMILIES[one].table(network.spectrum(name, one))
            for row in ranks[:: max(1, len(ranks) // 100)]:
                choice = FAMILIES[one].choice(*map(int, row))
                again = dial.choice(one, by, dial.positions(choice, by))
                assert cost(layer, again).macs <= cost(layer, choice).macs
                if by == "rank":
                    assert again == choice


def test_numbers_are_what_a_person_would_type(network):
    dial = LayerScale(network, "conv4")
    assert dial.numbers(GDWS(117), "rank") == (117.0,)
    assert dial.numbers(Tucker2(20, 31), "rank") == (20.0, 31.0)
    for choice in (SVD(29), SpatialSVD(41)):
        one = family_of(choice)
        assert dial.numbers(choice, "rank") == (float(choice.rank),)
        assert dial.typed(one, "rank", [choice.rank]) == choice
        assert dial.typed(one, "error", [network.error("conv4", choice)]) == choice
    beta = network.error("conv4", GDWS(117))
    assert dial.numbers(GDWS(117), "error") == (beta,)
    assert dial.typed("gdws", "error", [beta]) == GDWS(117)
    assert dial.typed("gdws", "rank", [117]) == GDWS(117)
    macs = 100 * cost(network.layer("conv4"), GDWS(117)).macs / network.layer("conv4").macs
    assert dial.typed("gdws", "macs", [macs + 1e-6]) == GDWS(117)


@pytest.mark.parametrize(
    ("by", "numbers", "words"),
    [
        ("rank", [0], "G is 0"),
        ("rank", [577], "1 to 576"),
        ("rank", [3.5], "whole number"),
        ("error", [-1], "beta is -1"),
        ("error", [float("nan")], "beta is nan"),
        ("macs", [0], "at most 100 %"),
        ("macs", [101], "at most 100 %"),
    ],
)
def test_a_wrong_number_names_the_layer_and_the_range(network, by, numbers, words):
    with pytest.raises(BudgetError, match=words) as caught:
        LayerScale(network, "conv4").typed("gdws", by, numbers)
    assert str(caught.value).startswith("conv4: ")


@pytest.mark.parametrize("by", MEANINGS)
def test_the_break_even_mark_divides_cheaper_from_dearer(network, by):
    dial, layer = LayerScale(network, "conv4"), network.layer("conv4")
    mark = dial.break_even("gdws", by)
    limit = break_even(layer)
    assert cost(layer, GDWS(limit)).macs < layer.macs <= cost(layer, GDWS(limit + 1)).macs
    assert 0 < mark <= 1
    assert mark == dial.positions(GDWS(limit), by)[0]
    assert all(dial.break_even(one, by) is None for one in FAMILIES if one != "gdws")


@pytest.mark.parametrize("by", NETWORK_MEANINGS)
def test_network_positions_and_numbers_are_inverse(network, by):
    for place in (0.05, 0.3, 0.77, 1.0):
        assert network_position(network, by, network_number(network, by, place)) == pytest.approx(
            place
        )


def test_the_share_of_a_plan(network):
    plan = network.budget(macs=0.5)
    summary = network.summary(plan)
    assert network_share(network, plan, summary, "macs") == summary.macs / network.macs
    assert network_share(network, plan, summary, "error") == summary.relative_error
    largest = max(s.error for s in summary.layers.values())
    assert network_share(network, plan, summary, "beta") == largest
    dense = network.plan()
    assert network_share(network, dense, network.summary(dense), "params") == 1.0


def test_a_rule_weighed_by_alpha(network):
    alpha = {"conv2": torch.linspace(0, 2, 32), "conv4": torch.full((64,), 3.0)}
    weighed = network.weighted(alpha)
    beta = network_number(weighed, "alpha", 0.2)
    assert network_position(weighed, "alpha", beta) == pytest.approx(0.2)
    plan = weighed.lego(beta)
    assert plan == network.lego(beta, alpha)
    share = network_share(weighed, plan, network.summary(plan), "alpha")
    errors = {
        name: network.gdws(name).error(network.counts(name, choice), alpha.get(name))
        for name, choice in plan
        if isinstance(choice, GDWS)
    }
    assert len(errors) >= 3
    assert share == max(errors.values()) <= beta


def test_dense_stands_at_the_top(network):
    for by in MEANINGS:
        assert LayerScale(network, "conv4").positions(Dense(), by) == (1.0,)


def test_a_linear_layer_has_a_fader_of_its_svd_alone(network):
    (fc,) = (name for name in network.names if not network.layer(name).in_size)
    dial, full = LayerScale(network, fc), network.spectrum(fc, "svd").full
    assert dial.choice("svd", "rank", [1.0]) == SVD(full)
    assert dial.choice("svd", "rank", [0.0]) == SVD(1)
    with pytest.raises(BudgetError, match=f"{fc}: rank is 0; expected a whole .* 1 to {full}"):
        dial.typed("svd", "rank", [0])
    for by in MEANINGS:
        with pytest.raises(PlanError, match=f"{fc} cannot be approximated by gdws"):
            dial.choice("gdws", by, [0.5])
        with pytest.raises(PlanError, match=f"{fc}.* (approximated by cp|family 'cp')"):
            dial.choice("cp", by, [0.5])
