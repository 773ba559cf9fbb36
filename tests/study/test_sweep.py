import numpy as np
import pytest

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.plans.choices import GDWS, Dense, family_of
from gdws_explorer.study.sweep import Grid, distinct


def test_given_values_are_the_networks_own_plans(network):
    assert Grid(beta=[0.1, 0.5]).plans(network) == (network.lego(0.1), network.lego(0.5))
    budgets = [network.budget(macs=share, weights="relative") for share in (0.5, 0.7)]
    assert list(Grid(macs=[0.5, 0.7]).plans(network)) == budgets


def test_a_number_of_betas_spans_what_is_cheaper_than_dense(network):
    plans = Grid(beta=12).plans(network)
    macs = [network.summary(plan).macs for plan in plans]
    assert macs == sorted(macs, reverse=True)
    assert 0.8 * network.macs < macs[0] <= network.macs
    assert all(choice.G == 1 for _, choice in plans[-1] if isinstance(choice, GDWS))
    given = [network.beta_of(plan) for plan in plans]
    assert given == sorted(given)


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_a_number_of_budgets_spans_the_least_to_dense(network, measure):
    plans = Grid(**{measure: 9}).plans(network)
    costs = [getattr(network.summary(p), measure) / getattr(network, measure) for p in plans]
    assert costs == sorted(costs)
    assert costs[0] == pytest.approx(network.least(measure))
    assert plans[-1] == network.plan()


def test_families_are_tried_one_by_one(network):
    plans = Grid(macs=[0.6], families=("gdws", "svd", "any")).plans(network)
    kinds = [{family_of(choice) for _, choice in plan} - {"dense"} for plan in plans]
    assert kinds[:2] == [{"gdws"}, {"svd"}]  # and "any" may come to the same as one of them
    assert network.budget(macs=0.6, weights="relative") in plans


def test_single_layers_leave_the_others_dense(network):
    plans = Grid(beta=[1.0], macs=[0.5], layers=["0", "2"]).plans(network)
    changed = [[name for name, choice in plan if choice != Dense()] for plan in plans]
    assert changed == [["0"], ["2"], ["0"], ["2"]]
    for plan, name in zip(plans[2:], ("0", "2"), strict=True):
        layer = network.summary(plan).layers[name]
        assert layer.macs <= layer.dense_macs / 2


def test_a_calibrated_network_has_its_own_plans(network, images):
    calibrated = network.calibrated(network.calibrate(images[0], n=None))
    plans = Grid(beta=3, macs=3).plans(calibrated)
    assert {plan.calibration for plan in plans} == {calibrated.label}


def test_equal_plans_are_there_once(network):
    assert len(Grid(macs=[0.5, 0.5, 0.6]).plans(network)) == 2
    assert distinct([network.plan(), network.plan()]) == (network.plan(),)


def test_arrays_are_values_too(network):
    assert Grid(beta=np.geomspace(0.1, 1, 3)).beta == pytest.approx((0.1, 0.1**0.5, 1))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "a sweep needs beta=, macs= or params="),
        ({"beta": 0}, "beta is 0"),
        ({"macs": True}, "macs is True"),
        ({"macs": 3, "families": ["cp"]}, "expected some of any, gdws"),
        ({"macs": 3, "families": "gdws"}, "expected a list of names"),
    ],
)
def test_mistakes_are_named(words, says):
    with pytest.raises(BudgetError, match=says):
        Grid(**words)


def test_impossible_sweeps_are_refused_before_anything_is_measured(network):
    with pytest.raises(BudgetError, match="cannot be met"):
        Grid(macs=[0.5, 0.0001]).plans(network)
    with pytest.raises(BudgetError, match=r"0: a macs budget of 0\.0001 cannot be met"):
        Grid(macs=[0.0001], layers=["0"]).plans(network)
    with pytest.raises(PlanError, match="no layer 'nowhere'"):
        Grid(macs=3, layers=["nowhere"]).plans(network)
    with pytest.raises(PlanError, match="layers is the text"):
        Grid(macs=3, layers="0").plans(network)
