"""Network-wide budgets: always met, and near what brute force and the relaxation say."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.allocation import Allocator, ChoiceSet, FixedChoice, ParetoTable
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2, family_of
from gdws_explorer.network.plans.cost import break_even, cost
from gdws_explorer.network.plans.families import FAMILIES as ALL

FAMILIES = [None, ("gdws",), ("tucker2",), ["tucker2", "gdws"], ("svd",), ("spatial",)]
EVERY = tuple(ALL)
SETS = [s for n in range(1, 5) for s in itertools.combinations(EVERY, n)]


@pytest.fixture
def tiny(plain):
    """Three layers, few choices each: small enough to try every plan."""
    return Network(plain(2, 3, 2, 3), torch.randn(1, 2, 5, 5), skip=())


@pytest.fixture
def mixed():
    """A grouped, a 1×1 and a strided convolution and a linear layer, few choices each."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2),
        nn.ReLU(),
        nn.Conv2d(4, 2, (3, 2), stride=(2, 1), padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 3, 1),
        nn.Flatten(),
        nn.Linear(3 * 4 * 8, 3),
    )
    return Network(model, torch.randn(1, 2, 9, 9), skip=())


def every_choice(net, name, families=EVERY):
    layer = net.layer(name)
    families = [one for one in families if one in layer.families]
    out, channels = layer.weight_shape[:2]
    yield Dense()
    if "gdws" in families:
        yield from map(GDWS, range(1, net.gdws(name).full + 1))
    if "svd" in families:
        yield from map(SVD, range(1, net.spectrum(name, "svd").full + 1))
    if "spatial" in families:
        yield from map(SpatialSVD, range(1, net.spectrum(name, "spatial").full + 1))
    if "tucker2" in families:
        pairs = itertools.product(range(1, out + 1), range(1, channels + 1))
        yield from itertools.starmap(Tucker2, pairs)


def every_plan(net, measure="macs", families=EVERY):
    """Total cost and error of all plans, by brute force: two arrays."""
    rest = getattr(net, measure) - sum(getattr(net.layer(n), measure) for n in net.names)
    costs, errors = np.array([rest]), np.array([0.0])
    for name in net.names:
        choices = list(every_choice(net, name, families))
        c = np.array([getattr(cost(net.layer(name), choice), measure) for choice in choices])
        e = np.array([net.error(name, choice) for choice in choices])
        costs, errors = np.add.outer(costs, c).ravel(), np.add.outer(errors, e).ravel()
    return costs, errors


def lower_bound(net, budget, families=EVERY, measure="macs"):
    """The relaxation's least error under a cost: fractions of every layer's choices allowed.

    By Lagrange: its value is the maximum over λ of `Σ min(error + λ cost) - λ budget`.
    """
    rest = getattr(net, measure) - sum(getattr(net.layer(n), measure) for n in net.names)
    layers = []
    for name in net.names:
        choices = list(every_choice(net, name, families))
        c = np.array([getattr(cost(net.layer(name), choice), measure) for choice in choices])
        layers.append((c, np.array([net.error(name, choice) for choice in choices])))
    rates = np.concatenate(
        [
            (e[:, None] - e[None, :]).ravel()
            / np.where((c[None, :] - c[:, None]) == 0, np.inf, c[None, :] - c[:, None]).ravel()
            for c, e in layers
        ]
    )
    rates = np.unique(np.append(rates[rates > 0], 0.0))  # the maximum lies at one of them
    least = sum((e[None, :] + rates[:, None] * c[None, :]).min(1) for c, e in layers)
    return float((least - rates * (budget - rest)).max())


# -- always ----------------------------------------------------------------------------------


@pytest.mark.parametrize("families", FAMILIES)
@pytest.mark.parametrize("measure", ["macs", "params"])
def test_a_cost_budget_is_met_and_errors_fall_with_it(net, measure, families):
    least = net.least(measure, families=families)
    before = np.inf
    for fraction in [least, *np.linspace(least + 1e-6, 1, 23)]:
        plan = net.budget(**{measure: fraction}, families=families)
        summary = net.summary(plan)
        dense = getattr(summary, f"dense_{measure}")
        assert getattr(summary, measure) <= fraction * dense * (1 + 1e-15)
        assert getattr(summary, measure) / dense <= fraction
        assert summary.error <= before * (1 + 1e-9)
        before = summary.error
        for name, choice in plan:
            assert getattr(cost(net.layer(name), choice), measure) <= getattr(
                net.layer(name), measure
            )
            if isinstance(choice, GDWS) and measure == "macs":
                kernels = choice.G
                assert kernels <= break_even(net.layer(name))
    assert summary.error == 0.0  # a budget of all is the dense network


@pytest.mark.parametrize("families", FAMILIES)
def test_an_error_budget_is_met_and_costs_fall_with_it(net, families):
    before = np.inf
    for fraction in np.geomspace(1e-6, 1, 25):
        summary = net.summary(net.budget(error=float(fraction), families=families))
        assert summary.relative_error <= fraction
        assert summary.macs <= before
        assert summary.macs <= summary.dense_macs
        before = summary.macs
    least = net.least(families=families)
    assert net.summary(net.budget(error=1.0, families=families)).macs == round(least * net.macs)


def test_a_plan_s_own_fraction_finds_a_plan_as_good(net):
    """What a summary shows can be typed into the budget field."""
    for fraction in np.linspace(net.least() + 0.001, 1, 40):
        summary = net.summary(net.budget(macs=fraction))
        again = net.summary(net.budget(macs=summary.macs / summary.dense_macs))
        assert again.macs == summary.macs
        assert again.error <= summary.error
        if summary.relative_error:
            again = net.summary(net.budget(error=summary.relative_error))
            assert again.relative_error <= summary.relative_error
            assert again.macs <= summary.macs + 0.01 * net.macs  # another last step, perhaps


def test_the_least_budget_can_be_had(net):
    for measure, families in itertools.product(["macs", "params"], FAMILIES):
        least = net.least(measure, families=families)
        summary = net.summary(net.budget(**{measure: least}, families=families))
        dense = getattr(summary, f"dense_{measure}")
        assert getattr(summary, measure) == round(least * dense)
        with pytest.raises(BudgetError, match=f"needs {least:.2%}"):
            net.budget(**{measure: (round(least * dense) - 1) / dense}, families=families)


# -- against brute force ---------------------------------------------------------------------


@pytest.mark.parametrize("families", [*SETS[:4], ("gdws", "tucker2"), EVERY])
@pytest.mark.parametrize("measure", ["macs", "params"])
def test_cost_budgets_are_near_brute_force(tiny, measure, families):
    costs, errors = every_plan(tiny, measure, families)
    total = getattr(tiny, measure)
    assert round(tiny.least(measure, families=families) * total) == costs.min()
    gaps = []
    for fraction in np.linspace(tiny.least(measure, families=families), 1, 60):
        plan = tiny.budget(**{measure: fraction}, families=families)
        found = tiny.summary(plan).error
        best = float(errors[costs <= fraction * total + 1e-6].min())
        bound = lower_bound(tiny, fraction * total, families, measure)
        assert bound <= best + 1e-9
        assert best <= found + 1e-9
        gaps.append(found - best)
        # Never further from the relaxation than the largest single step of a hull.
        steps = [
            -np.diff(t.error[t.hull]).min(initial=0)
            for t in (tiny.planner.tables[measure].table(tiny.layer(n), families, dense=True)
                      for n in tiny.names)
        ]  # fmt: skip
        assert found - bound <= max(steps) + 1e-9
    energy = sum(map(tiny.energy, tiny.names))
    assert np.mean(gaps) <= 0.03 * energy
    assert np.mean(np.array(gaps) < 1e-9) > 0.15  # many are the very best


def test_error_budgets_are_near_brute_force(tiny):
    costs, errors = every_plan(tiny)
    energy = sum(map(tiny.energy, tiny.names))
    for fraction in np.geomspace(1e-3, 1, 40):
        found = tiny.summary(tiny.budget(error=fraction))
        best = int(costs[errors <= fraction * energy].min())
        assert best <= found.macs <= best + 0.12 * tiny.macs


@pytest.mark.parametrize("families", [*SETS[:4], ("gdws", "tucker2"), EVERY])
def test_where_the_hull_meets_the_budget_the_plan_is_the_best(tiny, families):
    """At the cost of a whole number of hull steps the relaxation is whole, so exact."""
    allocator = tiny.planner.tables["macs"].allocator(families, {})
    rest = tiny.macs - sum(tiny.layer(n).macs for n in tiny.names)
    costs, errors = every_plan(tiny, "macs", families)
    for spent in (0, *allocator._spent):
        budget = rest + allocator.least_cost + int(spent)
        summary = tiny.summary(tiny.budget(macs=budget / tiny.macs, families=families))
        assert summary.macs <= budget
        assert summary.error == pytest.approx(float(errors[costs <= budget].min()), abs=1e-9)


def test_gdws_alone_is_mego_over_the_whole_network(plain):
    """Equal layers, equal costs: the G strongest triplets of all layers together.

    While the budget is small: near break-even the step to dense is the better one.
    """
    net = Network(plain(6, 6, 6, 6), torch.randn(1, 6, 6, 6), skip=())
    one = cost(net.layer("0"), GDWS(1)).macs
    dense = sum(net.layer(n).macs for n in net.names)
    kernels = 16
    plan = net.budget(macs=(net.macs - dense + kernels * one) / net.macs, families=["gdws"])
    energy = {n: np.sort(net.gdws(n).energy.ravel())[::-1] for n in net.names}
    firsts = {n: e[1:] for n, e in energy.items()}  # one of each layer always stays
    pool = np.sort(np.concatenate(list(firsts.values())))[::-1]
    dropped = float(pool[kernels - len(firsts) :].sum())
    assert net.summary(plan).error == pytest.approx(dropped)


def test_it_beats_the_same_share_for_every_layer(net):
    for fraction in (0.3, 0.5, 0.7):
        same = net.summary(net.mego(fraction))
        wide = net.summary(net.budget(macs=same.macs / net.macs, families=("gdws",)))
        assert wide.error <= same.error
        any_family = net.summary(net.budget(macs=same.macs / net.macs))
        assert any_family.error <= wide.error * (1 + 1e-9)


def test_it_beats_one_beta_for_all(net):
    for beta in (0.05, 0.3, 1.0):
        one = net.summary(net.lego(beta))
        wide = net.summary(net.budget(macs=min(1.0, one.macs / net.macs), families=("gdws",)))
        assert wide.error <= one.error
        assert wide.macs <= one.macs


def test_no_plan_of_any_family_is_better(mixed):
    """Brute force over grouped, strided, 1×1 and linear layers: 4 families, every rank."""
    assert {f for n in mixed.names for f in mixed.layer(n).families} == set(EVERY)
    energy = sum(map(mixed.energy, mixed.names))
    for families, measure in itertools.product([*SETS[:4], EVERY], ["macs", "params"]):
        costs, errors = every_plan(mixed, measure, families)
        total = getattr(mixed, measure)
        least = mixed.least(measure, families=families)
        assert round(least * total) == costs.min()
        for fraction in np.linspace(least, 1, 25):
            summary = mixed.summary(mixed.budget(**{measure: fraction}, families=families))
            assert getattr(summary, measure) / total <= fraction
            best = float(errors[costs / total <= fraction].min())
            assert summary.error == pytest.approx(best, rel=1e-9, abs=1e-12 * energy)
        if measure == "macs":
            for share in np.geomspace(1e-4, 1, 25):
                summary = mixed.summary(mixed.budget(error=share, families=families))
                assert summary.error <= share * energy
                assert summary.macs == costs[errors <= share * energy].min()


@pytest.mark.parametrize("measure", ["macs", "params"])
@pytest.mark.parametrize("which", ["net", "tiny", "mixed"])
def test_more_families_are_never_worse(request, which, measure):
    network = request.getfixturevalue(which)
    total, energy = getattr(network, measure), sum(map(network.energy, network.names))
    least = {s: network.least(measure, families=s, skip=()) for s in SETS}
    for fraction in np.linspace(min(least.values()), 1, 12):
        found = {}
        for families in SETS:
            if fraction < least[families]:
                found[families] = np.inf  # cannot be met without another family
                continue
            plan = network.budget(**{measure: fraction}, families=families, skip=())
            summary = network.summary(plan)
            assert {family_of(c) for _, c in plan} <= {"dense", *families}
            assert getattr(summary, measure) <= fraction * total
            found[families] = summary.error
        for fewer, more in itertools.product(SETS, SETS):
            if set(fewer) < set(more):
                assert least[more] <= least[fewer]
                assert found[more] <= found[fewer] * (1 + 1e-9) + 1e-12 * energy


# -- families, skip, fixed -------------------------------------------------------------------


def test_families_are_respected(net):
    for fraction in (0.3, 0.6):
        gdws = net.budget(macs=fraction, families=("gdws",))
        assert {type(c) for _, c in gdws} <= {Dense, GDWS}
        tucker = net.budget(macs=fraction, families={"tucker2"})
        assert {type(c) for _, c in tucker} <= {Dense, Tucker2}
    assert net.budget(macs=1.0, families=()) == net.plan()
    for one in EVERY:
        used = {family_of(choice) for _, choice in net.budget(macs=0.9, families=[one])}
        assert used == {"dense", one}
    for bad in ("gdws", ["cp"], ["gdws", "dense"]):
        with pytest.raises(BudgetError, match=r"families is|unknown family"):
            net.budget(macs=0.5, families=bad)


def test_skip_and_fixed_are_respected(net):
    fixed = {"layer1.0.conv1": GDWS(20), "layer2.0.conv1": Tucker2(2, 2)}
    for budget in ({"macs": 0.7}, {"params": 0.7}, {"error": 0.3}):
        plan = net.budget(**budget, skip=["layer1.0.conv2"], fixed=fixed)
        assert plan["layer1.0.conv2"] == Dense()
        assert all(plan[name] == choice for name, choice in fixed.items())
    tight = {"macs": net.least(skip=["layer1.0.conv2"], fixed=fixed)}
    plan = net.budget(**tight, skip=["layer1.0.conv2"], fixed=fixed)
    assert plan["layer1.0.conv2"] == Dense()
    assert all(plan[name] == choice for name, choice in fixed.items())
    assert Dense() not in (plan["conv1"], plan["layer2.0.conv2"])
    assert net.budget(macs=0.5)["conv1"] == Dense()
    assert net.budget(macs=net.least(skip=()), skip=())["conv1"] != Dense()
    held = {n: Dense() for n in net.names}
    assert net.budget(macs=1.0, fixed=held) == net.plan()
    assert net.budget(macs=1.0, fixed={"conv1": GDWS(5)})["conv1"] == GDWS(5)


def test_many_locks_do_not_pile_up(net):
    for G in range(1, 60):
        net.budget(macs=0.9, fixed={"layer1.0.conv1": GDWS(G)})
    assert net.planner.tables["macs"].stored_allocators <= 16


def test_budgets_that_cannot_be_met_say_what_can(net):
    with pytest.raises(BudgetError, match=r"5\.00% of the MACs cannot be met.*needs \d+\.\d\d%"):
        net.budget(macs=0.05)
    with pytest.raises(BudgetError, match="of the parameters cannot be met"):
        net.budget(params=0.05)
    with pytest.raises(BudgetError, match="needs 100"):
        net.budget(macs=0.9, skip=net.names)
    able = [n for n in net.names if "gdws" in net.layer(n).families]
    dearer = {n: GDWS(net.gdws(n).full) for n in able}
    with pytest.raises(BudgetError, match=r"needs 1\d\d\.\d\d%"):
        net.budget(macs=1.0, fixed=dearer)
    with pytest.raises(BudgetError, match="fixed layers alone have"):
        net.budget(error=1e-6, fixed={"layer1.0.conv1": GDWS(1)})


def test_budgets_that_cannot_be_used(net):
    for given_ in ({}, {"macs": 0.5, "params": 0.5}, {"macs": 0.5, "error": 0.5}):
        with pytest.raises(BudgetError, match="exactly one"):
            net.budget(**given_)
    with pytest.raises(BudgetError, match=r"unknown measure .* expected one of macs, params, ms"):
        net.least("bytes")
    with pytest.raises(PlanError, match="is not a choice"):
        net.budget(macs=0.9, fixed={"conv1": 5})


def test_zero_kernels(plain):
    model = plain(2, 3, 3)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    net = Network(model, torch.randn(1, 2, 5, 5), skip=())
    plan = net.budget(macs=net.least())
    assert net.summary(plan).error == net.summary(plan).relative_error == 0.0
    assert net.summary(net.budget(error=0.5)).error == 0.0


# -- tables and the allocator on their own ---------------------------------------------------

points = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 40).map(lambda e: e / 8)), min_size=1, max_size=25
)


def table_of(options):
    cost_, error = map(np.array, zip(*options, strict=True))
    ranks = np.arange(1, len(options) + 1)[:, None]
    return ParetoTable.of([ChoiceSet(GDWS, cost_, error.astype(float), ranks)])


@settings(deadline=None, max_examples=200)
@given(points)
@example([(1, 3.0), (2, 2.0), (3, 1.0)])  # on one line
def test_a_table_keeps_what_nothing_dominates_and_its_lower_hull(options):
    table = table_of(options)
    best = {
        (c, e) for c, e in options if not any(
            (c2 <= c and e2 <= e and (c2, e2) != (c, e)) for c2, e2 in options)
    }  # fmt: skip
    kept = list(zip(table.cost.tolist(), table.error.tolist(), strict=True))
    assert kept == sorted(best)
    for position, (c, e) in enumerate(kept):
        assert options[table.choice(position).G - 1] == (c, e)
        assert table.best(c) == position
        assert table.cheapest(e) == position
    hull = [kept[i] for i in table.hull]
    assert (hull[0], hull[-1]) == (kept[0], kept[-1])
    slopes = [(e2 - e1) / (c2 - c1) for (c1, e1), (c2, e2) in itertools.pairwise(hull)]
    assert all(a < b for a, b in itertools.pairwise(slopes))
    for c, e in kept:  # no choice lies below the hull
        assert e >= np.interp(c, *zip(*hull, strict=True)) - 1e-12


@settings(deadline=None, max_examples=200)
@given(st.lists(points, min_size=1, max_size=4), st.floats(0, 1))
def test_the_allocator_keeps_its_bounds_and_is_near_the_best(layers, share):
    tables = [table_of(options) for options in layers]
    allocator = Allocator({str(i): t for i, t in enumerate(tables)})

    def totals(chosen):
        picked = [layers[i][chosen[str(i)].G - 1] for i in range(len(layers))]
        return sum(c for c, _ in picked), sum(e for _, e in picked)

    most = sum(int(t.cost[-1]) for t in tables)
    budget = allocator.least_cost + int(share * (most - allocator.least_cost))
    spent, error = totals(allocator.under_cost(budget).choices)
    assert spent <= budget
    every = [
        (sum(c for c, _ in combination), sum(e for _, e in combination))
        for combination in itertools.product(*[
            list(zip(t.cost.tolist(), t.error.tolist(), strict=True)) for t in tables])
    ][:20000]  # fmt: skip
    best = min(e for c, e in every if c <= budget) if len(every) < 20000 else 0
    largest = max(float(t.error[0] - t.error[-1]) for t in tables)
    assert best <= error <= best + largest + 1e-9

    bound = allocator.least_error + share * (allocator.most_error - allocator.least_error)
    spent, error = totals(allocator.under_error(bound).choices)
    assert error <= bound


def test_fixed_choices_count_but_never_move():
    fixed = ParetoTable.of([FixedChoice(Dense(), np.array([10]), np.array([2.0]))])
    allocator = Allocator({"a": fixed, "b": table_of([(1, 5.0), (4, 1.0)])})
    assert (allocator.least_cost, allocator.most_error) == (11, 7.0)
    assert allocator.under_cost(14).choices == {"a": Dense(), "b": GDWS(2)}
    assert allocator.under_cost(13).choices == {"a": Dense(), "b": GDWS(1)}
    assert allocator.under_error(7.0).choices == {"a": Dense(), "b": GDWS(1)}
    assert allocator.under_error(3.0).choices == {"a": Dense(), "b": GDWS(2)}
