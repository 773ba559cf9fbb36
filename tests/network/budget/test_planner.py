"""The planner that a network owns."""

import pytest
import torch

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.request import BudgetRequest
from gdws_explorer.network.plans.choices import GDWS, Dense, Tucker2

LAYER = "layer1.0.conv1"


def test_the_network_asks_its_planner(net):
    planner = net.planner
    assert planner.lego(0.1) == net.lego(0.1)
    assert planner.mego(0.5) == net.mego(0.5)
    request = BudgetRequest("macs", 0.5, ("gdws", "svd"))
    assert planner.optimum(request) == net.optimum(macs=0.5, families=("gdws", "svd"))
    assert planner.optimum(request).plan == net.budget(macs=0.5, families=["gdws", "svd"])
    assert planner.least(BudgetRequest("params")) == net.least("params")
    assert planner.most_error() == net.most_error()
    assert planner.plan({}) == planner.dense == net.plan()


def test_planners_do_not_change(net):
    planner = net.planner
    with pytest.raises(AttributeError):
        planner.alpha = {}
    weighted = planner.weighted({LAYER: torch.rand(8)})
    labelled = weighted.labelled("other")
    assert planner.alpha is None
    assert planner.dense.calibration is None
    assert labelled.dense.calibration == "other"
    assert labelled.alpha is None
    assert labelled.tables is weighted.tables is planner.tables
    assert planner.timed_by(None).spectra is planner.spectra


def test_lego_takes_the_least_kernels_within_the_bound(net):
    beta = 0.3 * net.planner.most_error()
    for name, choice in net.planner.lego(beta, skip=()):
        if isinstance(choice, GDWS):
            assert net.error(name, choice) <= beta
            assert choice.G == 1 or net.error(name, GDWS(choice.G - 1)) > beta
    assert net.planner.lego(beta, fixed={LAYER: Tucker2(2, 3)})[LAYER] == Tucker2(2, 3)
    assert net.planner.lego(beta, skip=[LAYER])[LAYER] == Dense()


def test_the_error_of_a_plan_is_its_largest(net):
    plan = net.plan({LAYER: GDWS(3), "layer1.0.conv2": Tucker2(2, 2)})
    assert net.planner.beta_of(plan) == max(net.error(name, choice) for name, choice in plan)
    alpha = {LAYER: torch.rand(8)}
    weighted = net.planner.weighted(alpha)
    counts = net.counts(LAYER, GDWS(3))
    assert weighted.beta_of(plan) == net.gdws(LAYER).error(counts, alpha[LAYER])


def test_weights_are_checked_when_they_are_given(net):
    with pytest.raises(PlanError, match="no layer 'x'"):
        net.planner.weighted({"x": torch.rand(8)})
    with pytest.raises(BudgetError, match=f"{LAYER}: alpha has shape"):
        net.planner.weighted({LAYER: torch.rand(3)})
    with pytest.raises(PlanError, match="no layer 'x'"):
        net.planner.lego(0.1, {"x": torch.rand(8)})


def test_the_weights_of_a_call_replace_those_of_the_planner(net):
    first, second = torch.rand(8), torch.rand(8)
    weighted = net.planner.weighted({LAYER: first})
    assert weighted.lego(0.05) == net.planner.lego(0.05, {LAYER: first})
    assert weighted.lego(0.05, {LAYER: second}) == net.planner.lego(0.05, {LAYER: second})
    assert weighted.lego(0.05, {}) == net.planner.lego(0.05)
