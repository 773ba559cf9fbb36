"""Budgets are closed from both sides: found ≥ best ≥ bound, and mostly all three are one."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.budget import knapsack
from gdws_explorer.network.budget.knapsack import improve
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.families import FAMILIES


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(),
        nn.Conv2d(3, 2, (1, 3)),
    )  # fmt: skip
    return Network(model, torch.rand(1, 2, 6, 6), skip=())


def _all_plans(net):
    """Cost and error of every combination of the layers' choices, by brute force."""
    tables = [
        net.planner.tables["macs"].table(net.layer(n), tuple(FAMILIES), dense=True)
        for n in net.names
    ]
    places = itertools.product(*[range(len(t.cost)) for t in tables])
    rows = [
        (
            sum(int(t.cost[p]) for t, p in zip(tables, place, strict=True)),
            sum(float(t.error[p]) for t, p in zip(tables, place, strict=True)),
        )
        for place in places
    ]
    return np.array(rows).T


@pytest.mark.parametrize("fraction", np.linspace(0.12, 1.0, 23))
def test_a_macs_budget_is_the_best_there_is(tiny, fraction):
    costs, errors = _all_plans(tiny)
    try:
        optimum = tiny.optimum(macs=float(fraction))
    except BudgetError:
        assert costs.min() > fraction * tiny.macs
        return
    best = errors[costs <= fraction * tiny.macs * (1 + 1e-12)].min()
    assert optimum.found == pytest.approx(best, rel=1e-12, abs=1e-15)
    assert optimum.found == pytest.approx(tiny.summary(optimum.plan).error, rel=1e-12, abs=1e-15)
    assert optimum.gap == 0


@pytest.mark.parametrize("fraction", np.linspace(0.01, 0.9, 19))
def test_an_error_budget_is_the_cheapest_there_is(tiny, fraction):
    costs, errors = _all_plans(tiny)
    optimum = tiny.optimum(error=float(fraction))
    energy = sum(tiny.energy(name) for name in tiny.names)
    assert optimum.found == costs[errors <= fraction * energy * (1 + 1e-12)].min()
    assert optimum.found == tiny.summary(optimum.plan).macs
    assert optimum.gap == 0


def test_the_walk_alone_says_how_far_it_may_be(tiny):
    gaps = []
    for fraction in np.linspace(0.2, 0.9, 15):
        walk = tiny.optimum(macs=float(fraction), exact=False)
        best = tiny.optimum(macs=float(fraction))
        assert walk.bound <= best.found * (1 + 1e-9) <= walk.found * (1 + 1e-9) + 1e-12
        gaps.append(walk.gap)
    assert 0 < max(gaps) < 1


def test_weights_decide_what_is_best(tiny):
    energies = {name: tiny.energy(name) for name in tiny.names}
    relative = tiny.optimum(macs=0.5, weights="relative")
    same = tiny.optimum(macs=0.5, weights={n: 1 / e for n, e in energies.items()})
    assert relative == same
    heavy = tiny.optimum(macs=0.5, weights={tiny.names[0]: 1e6})
    light = tiny.optimum(macs=0.5, weights={tiny.names[0]: 1e-6})
    first = tiny.names[0]
    assert tiny.error(first, heavy.plan[first]) < tiny.error(first, light.plan[first])
    for bad in ({first: 0.0}, {first: float("nan")}, "loud"):
        with pytest.raises(BudgetError):
            tiny.budget(macs=0.5, weights=bad)


numbers = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(numbers, st.integers(0, 40), st.floats(0, 3))
def test_improve_finds_the_best(layers, limit, multiplier):
    values = [np.array([float(v) for v, _ in layer]) for layer in layers]
    weights = [np.array([float(w) for _, w in layer]) for layer in layers]
    every = list(itertools.product(*[range(len(layer)) for layer in layers]))

    def total(parts, places):
        return sum(part[p] for part, p in zip(parts, places, strict=True))

    inside = [places for places in every if total(weights, places) <= limit]
    if not inside:
        return
    places, proven = improve(values, weights, limit, multiplier, inside[0])
    assert total(weights, places) <= limit
    assert proven
    assert total(values, places) == min(total(values, one) for one in inside)


def test_too_many_sums_are_cut_and_not_called_proven(monkeypatch):
    rng = np.random.default_rng(0)
    values = [rng.random(40) for _ in range(8)]
    weights = [rng.random(40) for _ in range(8)]
    start = [int(w.argmin()) for w in weights]
    best, proven = improve(values, weights, 2.0, 1.0, start)
    monkeypatch.setattr(knapsack, "STATES", 3)
    some, sure = improve(values, weights, 2.0, 1.0, start)
    assert proven
    assert not sure
    sums = [
        sum(v[p] for v, p in zip(values, places, strict=True)) for places in (best, some, start)
    ]
    assert sums == sorted(sums)
