"""The scale of the network-wide budget."""

import pytest

from gdws_explorer.study.budget_scale import (
    NETWORK_MEANINGS,
    budget_weights,
    network_number,
    network_position,
    network_share,
)


@pytest.mark.parametrize("by", NETWORK_MEANINGS)
@pytest.mark.parametrize("position", [0.0, 0.25, 0.7, 1.0])
def test_a_position_and_its_number_are_inverse(network, by, position):
    number = network_number(network, by, position)
    assert network_position(network, by, number) == pytest.approx(position)


@pytest.mark.parametrize("by", NETWORK_MEANINGS)
def test_positions_outside_the_scale_are_its_ends(network, by):
    assert network_number(network, by, -1.0) == network_number(network, by, 0.0)
    assert network_number(network, by, 2.0) == network_number(network, by, 1.0)


def test_no_error_is_the_upper_end(network):
    assert network_position(network, "error", 0.0) == network_position(network, "beta", 0.0) == 1.0


@pytest.mark.parametrize("by", ["macs", "params", "error", "beta"])
def test_the_share_of_a_plan_is_a_budget_that_it_satisfies(network, by):
    plan = network.budget(macs=0.6, weights="relative")
    share = network_share(network, plan, network.summary(plan), by)
    if by == "beta":
        assert share == network.beta_of(plan)
    elif by == "error":
        assert 0 < share < 1
    else:
        assert network.budget(**{by: share}, weights="relative") is not None
        assert share == pytest.approx(getattr(network.summary(plan), by) / getattr(network, by))


def test_a_calibrated_network_has_weights_of_its_own(network, images):
    seen = network.calibrated(network.calibrate(*images, n=None))
    assert budget_weights(network, "relative") == "relative"
    assert budget_weights(network, "squared") is None
    assert budget_weights(seen, "relative") is None
