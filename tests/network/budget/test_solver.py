"""The solver against the definition of its budgets."""

import math

import pytest

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.request import BudgetRequest
from gdws_explorer.network.budget.solver import BudgetSolution, at_most
from gdws_explorer.network.plans.choices import GDWS, Dense


@pytest.fixture
def solver(net):
    return net.planner.solver


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_cost_budgets(net, solver, measure):
    least = solver.least(BudgetRequest(measure))
    for amount in (least, 0.5 * (1 + least), 1.0):
        found = solver.solve(BudgetRequest(measure, amount))
        summary = net.summary(net.plan(found.choices))
        assert getattr(summary, measure) <= amount * getattr(net, measure) + 1e-6
        assert found.found == pytest.approx(summary.error)
        assert found.bound <= found.found
    with pytest.raises(BudgetError, match="the cheapest plan needs"):
        solver.solve(BudgetRequest(measure, 0.99 * least))


def test_error_budgets(net, solver):
    for amount in (1e-3, 0.1, 1.0):
        found = solver.solve(BudgetRequest("error", amount))
        summary = net.summary(net.plan(found.choices))
        assert summary.relative_error <= amount
        assert found.found == summary.macs
        assert found.bound <= found.found
    fixed = {name: GDWS(1) for name in ("layer1.0.conv1", "layer1.0.conv2")}
    least = solver.least(BudgetRequest("error", fixed=fixed))
    errors = sum(net.error(name, choice) for name, choice in fixed.items())
    assert least == pytest.approx(errors / solver.energy)
    with pytest.raises(BudgetError, match="the fixed layers alone have"):
        solver.solve(BudgetRequest("error", 0.9 * least, fixed=fixed))


def test_the_energy_is_the_error_of_dropping_every_layer(net, solver):
    assert solver.energy == pytest.approx(sum(net.energy(name) for name in net.names))


def test_relative_weights_are_one_over_the_energy(net, solver):
    weights = {name: 1 / net.energy(name) for name in net.names}
    named = solver.solve(BudgetRequest("macs", 0.5, weights="relative"))
    given = solver.solve(BudgetRequest("macs", 0.5, weights=weights))
    assert named == given


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ("alpha", BudgetError, 'expected "relative" or a mapping'),
        ({"fc": 1}, PlanError, "cannot be approximated"),
        ({"conv1": 0}, BudgetError, "expected a number > 0"),
        ({"conv1": math.inf}, BudgetError, "expected a number > 0"),
    ],
)
def test_weights_that_cannot_be_used(solver, net, weights, error, words):
    weights = {"none": 1} if weights == {"fc": 1} and "fc" in net.names else weights
    with pytest.raises(error, match=words):
        solver.solve(BudgetRequest("macs", 0.5, weights=weights))


def test_skipped_layers_stay_dense(net, solver):
    found = solver.solve(BudgetRequest("macs", 0.7, skip=["layer1.0.conv1"]))
    assert found.choices["layer1.0.conv1"] == Dense()
    default = solver.solve(BudgetRequest("macs", 0.7))
    assert all(default.choices[name] == Dense() for name in net.skip & set(net.names))


def test_at_most_is_the_largest_whole_number():
    for total in (1, 7, 1000, 12_345_677):
        for fraction in (1e-3, 1 / 3, 0.4, 0.999, 1.0):
            n = at_most(fraction, total)
            assert n / total <= fraction < (n + 1) / total
        assert all(at_most(n / total, total) == n for n in range(max(1, total - 50), total))


def test_the_gap_of_a_solution(net):
    plan = net.plan()
    assert BudgetSolution(plan, 2.0, 2.0).gap == 0
    assert BudgetSolution(plan, 2.0, 1.5).gap == 0.25
    assert BudgetSolution(plan, 0.0, 0.0).gap == 0
