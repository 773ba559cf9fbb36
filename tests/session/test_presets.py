"""The presets of the bundled digits and of a small network."""

import pytest

from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, family_of
from gdws_explorer.session.presets import PRESETS

SHARES = {
    "Half the MACs, best family per layer": 0.5,
    "A third of the MACs, best family per layer": 1 / 3,
    "Half the MACs, GDWS only": 0.5,
    "Half the MACs, Tucker-2 only": 0.5,
}
PAPER = "The paper's rule: LEGO with β = 0.005"
SEPARABLE = "Depthwise separable: one kernel per channel"


@pytest.fixture
def free(digits_network):
    """No layer is skipped and none is fixed."""
    return {"skip": (), "fixed": {}}


def test_these_tests_are_of_all_presets():
    assert {*SHARES, PAPER, SEPARABLE} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_skipped_layers_are_dense_and_fixed_ones_stay(digits_network, name):
    plan = PRESETS[name](digits_network, skip=("conv1",), fixed={"conv4": SVD(5)})
    assert plan["conv1"] == Dense()
    assert plan["conv4"] == SVD(5)
    digits_network.check(plan)


@pytest.mark.parametrize("name", SHARES)
def test_a_budget_of_macs_is_kept(digits_network, free, name):
    plan = PRESETS[name](digits_network, **free)
    assert digits_network.summary(plan).macs <= SHARES[name] * digits_network.macs


def test_the_best_family_per_layer_is_at_least_as_good_as_one_family(digits_network, free):
    def error(name):
        layers = digits_network.summary(PRESETS[name](digits_network, **free)).layers.values()
        return sum(layer.error / layer.energy for layer in layers)

    best = error("Half the MACs, best family per layer")
    assert best <= error("Half the MACs, GDWS only") * (1 + 1e-9)
    assert best <= error("Half the MACs, Tucker-2 only") * (1 + 1e-9)


@pytest.mark.parametrize(("word", "family"), [("GDWS", "gdws"), ("Tucker-2", "tucker2")])
def test_a_preset_of_one_family_uses_no_other(digits_network, free, word, family):
    plan = PRESETS[f"Half the MACs, {word} only"](digits_network, **free)
    assert {family_of(choice) for _, choice in plan} <= {family, "dense"}
    assert family in {family_of(choice) for _, choice in plan}


def test_the_rule_of_the_paper_bounds_the_error_of_every_layer(digits_network, free):
    plan = PRESETS[PAPER](digits_network, **free)
    for name, choice in plan:
        assert digits_network.error(name, choice) <= 0.005
    assert plan == digits_network.lego(0.005, skip=())


def test_depthwise_separable_has_one_kernel_per_channel(digits_network, free):
    plan = PRESETS[SEPARABLE](digits_network, **free)
    for name, choice in plan:
        layer = digits_network.layer(name)
        if "gdws" in layer.families:
            channels = layer.weight_shape[1]
            assert choice == GDWS(channels, (1,) * channels)
        else:
            assert choice == Dense()


@pytest.mark.parametrize("name", SHARES)
def test_a_share_that_cannot_be_reached_gives_the_cheapest_plan(digits_network, name):
    plan = PRESETS[name](digits_network, skip=digits_network.names, fixed={})
    assert plan == digits_network.plan()
