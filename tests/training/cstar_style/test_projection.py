"""The global projection: the budget holds exactly, and the walk is the one that is described."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize import tucker
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense, Tucker2
from gdws_explorer.training.cstar_style.projection import project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule


def chain(*channels, kernel=3, seed=0):
    """Convolutions with BatchNorm, some with a bias, and a classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = []
        for i, (a, b) in enumerate(itertools.pairwise(channels)):
            layers += [nn.Conv2d(a, b, kernel, padding=1, bias=bool(i % 2)), nn.BatchNorm2d(b)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 3)]
        return nn.Sequential(*layers, *head)


def network(*channels, **options):
    return Network(chain(*channels, **options), torch.zeros(1, channels[0], 6, 6))


def kernels_of(net):
    return {name: net.model.get_submodule(name).weight for name in net.names}


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    channels=st.lists(st.integers(1, 9), min_size=3, max_size=5),
    share=st.floats(0.02, 1.0),
    measure=st.sampled_from(["params", "macs"]),
    family=st.sampled_from(["tucker2", "gdws"]),
    values=st.sampled_from(["raw", "squared", "relative"]),
    by_cost=st.booleans(),
    floor=st.integers(1, 4),
    pooled=st.booleans(),
    seed=st.integers(0, 5),
)
def test_the_budget_holds_exactly(
    channels, share, measure, family, values, by_cost, floor, pooled, seed
):
    net = network(*channels, seed=seed)
    if pooled is False and values == "raw":
        values = "squared"
    rule = RankRule(values, by_cost, floor, pooled=pooled)
    budget = RankBudget.of(net, family, **{measure: share})
    try:
        made = project(kernels_of(net), budget, rule)
    except BudgetError as error:
        reachable = float(str(error).rsplit("=", 1)[1].split()[0])
        made = project(kernels_of(net), RankBudget.of(net, family, **{measure: reachable}), rule)
        assert reachable > share
        share = reachable
    plan = net.plan(made.choices)
    total = getattr(net.summary(plan), measure)
    assert total == made.cost <= share * getattr(net, measure) * (1 + 1e-12)
    built = net.build(plan)
    if measure == "params":
        assert total == sum(p.numel() for p in built.parameters())
    for name, kernel in made.kernels.items():
        module = built.get_submodule(name)
        rebuilt = module if isinstance(made.choices[name], Dense) else module.dense()
        torch.testing.assert_close(kernel, rebuilt.weight.detach(), atol=1e-5, rtol=1e-4)
        if isinstance(made.choices[name], Tucker2):
            r_out, r_in = made.choices[name].r_out, made.choices[name].r_in
            assert min(r_out, r_in) >= min(floor, *kernel.shape[:2])
            assert torch.linalg.matrix_rank(kernel.flatten(1), rtol=1e-4) <= r_out
            assert torch.linalg.matrix_rank(kernel.transpose(0, 1).flatten(1), rtol=1e-4) <= r_in


def test_nothing_that_would_fit_is_left_out():
    net = network(3, 8, 8, 8)
    for share in (0.3, 0.45, 0.6):
        budget = RankBudget.of(net, params=share)
        made = project(kernels_of(net), budget)
        spare = budget.limit - made.cost
        for name, choice in made.choices.items():
            if isinstance(choice, Dense):
                continue
            for more in (replace(choice, r_in=choice.r_in + 1),
                         replace(choice, r_out=choice.r_out + 1)):  # fmt: skip
                if max(more.r_in, more.r_out) <= 8:
                    dearer = budget.cost({**made.choices, name: more}) - made.cost
                    assert dearer > spare


@pytest.mark.parametrize("share", [0.42, 0.55, 0.7, 0.85])
@pytest.mark.parametrize("values", ["squared", "relative"])
def test_the_least_error_is_that_of_trying_everything(share, values):
    net = network(1, 3, 4, 4)
    kernels, budget = kernels_of(net), RankBudget.of(net, params=share)
    spectra = {n: tucker.spectrum(kernels[n]) for n in budget.layers}
    scale = {n: spectra[n].energy if values == "relative" else 1.0 for n in budget.layers}

    def error(choices):
        return sum(
            0.0 if c == Dense() else spectra[n].error(c.r_out, c.r_in) / scale[n]
            for n, c in choices.items()
        )

    every = [
        [Dense(), *(Tucker2(o, i) for o, i in itertools.product(*map(_up, s.full)))]
        for s in spectra.values()
    ]
    tried = (dict(zip(spectra, choices, strict=True)) for choices in itertools.product(*every))
    least = min(error(c) for c in tried if budget.cost(c) <= budget.limit)
    exact = project(kernels, budget, RankRule(values, pooled=False))
    assert error(exact.choices) == pytest.approx(least, rel=1e-9, abs=1e-12)
    assert error(project(kernels, budget, RankRule(values)).choices) >= least - 1e-12


def _up(most):
    return range(1, most + 1)


@pytest.mark.parametrize("share", [0.45, 0.5, 0.6])
def test_one_pool_of_gdws_triplets_is_optimal_where_all_cost_the_same(share):
    net = network(3, 8, 8, 8)
    budget = RankBudget.of(net, "gdws", params=share)
    pooled, exact = (
        project(kernels_of(net), budget, RankRule("squared", pooled=p)) for p in (1, 0)
    )
    assert pooled.choices == exact.choices
    assert all(isinstance(choice, GDWS) for choice in pooled.choices.values())


def test_the_pool_is_walked_as_described():
    """Release the least σ² per parameter, one rank after the other, by plain singular values."""
    net = network(2, 7, 8, 7)
    kernels, budget = kernels_of(net), RankBudget.of(net, params=0.4)
    ranks, squares = {}, {}
    for name in budget.layers:
        kernel = kernels[name].detach().double()
        unfolded = (kernel.flatten(1), kernel.transpose(0, 1).flatten(1))
        squares[name] = [torch.linalg.svdvals(u).square().numpy() for u in unfolded]
        ranks[name] = [len(s) for s in squares[name]]

    def price(name, r_out, r_in):
        out, channels = kernels[name].shape[:2]
        return channels * r_in + 9 * r_in * r_out + r_out * out + out * budget.layers[name].bias

    def total():
        return budget.fixed_cost + sum(
            min(price(n, *r), budget.layers[n].params) for n, r in ranks.items()
        )

    while total() > budget.limit:
        loss = {}
        for name, now in ranks.items():
            for axis in (0, 1):
                if now[axis] > 1:
                    lower = [r - (i == axis) for i, r in enumerate(now)]
                    freed = price(name, *now) - price(name, *lower)
                    loss[name, axis] = squares[name][axis][now[axis] - 1] / freed
        name, axis = min(loss, key=loss.get)
        ranks[name][axis] -= 1
    found = project(kernels, budget, RankRule("squared")).choices
    for name, (r_out, r_in) in ranks.items():  # some may come back with what was left over
        if price(name, r_out, r_in) >= budget.layers[name].params:
            assert found[name] == Dense()
        else:
            assert found[name].r_out >= r_out
            assert found[name].r_in >= r_in
    extra = sum(c.r_out + c.r_in for c in found.values() if c != Dense()) - sum(
        sum(r) for n, r in ranks.items() if found[n] != Dense()
    )
    assert 0 <= extra <= 3


def test_a_kernel_of_low_rank_keeps_just_its_ranks():
    net = network(2, 8, 8, seed=1)
    kernels = kernels_of(net)
    kernels["2"] = tucker.spectrum(kernels["2"]).kernel(3, 2)
    cost = net.params - net.layer("2").params + 8 * 2 + 9 * 6 + 3 * 8 + 8
    budget = replace(RankBudget.of(net, params=0.5), limit=cost)
    made = project(kernels, budget)
    assert made.choices["2"] == Tucker2(3, 2)
    torch.testing.assert_close(made.kernels["2"], kernels["2"], atol=1e-6, rtol=1e-5)


def test_sweeps_lower_the_error_at_the_same_ranks():
    net = network(4, 10, 12, 9)
    kernels, budget = kernels_of(net), RankBudget.of(net, params=0.25)
    plain, swept = (project(kernels, budget, RankRule(sweeps=sweeps)) for sweeps in (0, 4))
    assert plain.choices == swept.choices
    lost = [
        sum(float((m.kernels[n] - kernels[n]).square().sum()) for n in m.kernels)
        for m in (plain, swept)
    ]
    assert 0.9 * lost[0] < lost[1] < lost[0]


def test_what_takes_part_is_what_budgets_approximate():
    net = network(3, 6, 6, 6)
    assert list(RankBudget.of(net, ratio=2).layers) == ["2", "4"]
    assert list(RankBudget.of(net, ratio=2, skip=()).layers) == ["0", "2", "4"]
    budget = RankBudget.of(net, macs=0.5)
    assert budget.fixed_cost == net.macs - net.layer("2").macs - net.layer("4").macs
    assert budget.cost({}) == net.macs == budget.total
    assert RankBudget.of(net, ratio=4).limit == net.params // 4


def test_a_full_budget_leaves_everything_dense():
    net = network(3, 6, 6)
    made = project(kernels_of(net), RankBudget.of(net, params=1.0))
    assert set(made.choices.values()) == {Dense()}
    assert torch.equal(made.kernels["2"], kernels_of(net)["2"])


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"ratio": 1}, "ratio is 1; expected how many times fewer"),
        ({"ratio": 0.5}, "ratio is 0.5"),
        ({"ratio": float("nan")}, "ratio is nan"),
        ({"ratio": "4x"}, "ratio is 4x"),
        ({"params": 0}, "the parameters budget is 0"),
        ({"macs": 1.5}, "the MACs budget is 1.5"),
        ({}, "no budget given"),
        ({"ratio": 2, "macs": 0.5}, "ratio and macs given"),
        ({"ratio": 2, "family": "svd"}, "family is 'svd'"),
        ({"ratio": 2, "skip": ["0", "2"]}, "no layer of the network can become Tucker-2"),
    ],
)
def test_budgets_that_are_none(budget, words):
    with pytest.raises(BudgetError, match=words):
        RankBudget.of(network(3, 4, 4), **budget)


def test_a_budget_out_of_reach_names_the_one_within():
    net = network(3, 6, 6, 6)
    with pytest.raises(BudgetError, match=r"cannot be reached.*not approximated; ask for") as told:
        project(kernels_of(net), RankBudget.of(net, ratio=50))
    least = float(str(told.value).rsplit("params=", 1)[1].split()[0])
    made = project(kernels_of(net), RankBudget.of(net, params=least))
    assert made.cost <= least * net.params
    with pytest.raises(BudgetError):
        project(kernels_of(net), RankBudget.of(net, params=least - 2e-4))


@pytest.mark.parametrize(
    "wrong",
    [{"values": "cubed"}, {"floor": 0}, {"floor": 1.5}, {"sweeps": -1}, {"sweeps": True},
     {"values": "raw", "pooled": False}],
)  # fmt: skip
def test_rules_that_are_none(wrong):
    with pytest.raises(BudgetError, match=r"expected|squares"):
        RankRule(**wrong)


def test_kernels_stay_as_they_are():
    net = network(3, 6, 6)
    kernels = {name: kernel.detach().clone() for name, kernel in kernels_of(net).items()}
    before = {name: kernel.clone() for name, kernel in kernels.items()}
    made = project(kernels, RankBudget.of(net, ratio=2))
    assert all(torch.equal(kernels[name], before[name]) for name in kernels)
    assert {kernel.dtype for kernel in made.kernels.values()} == {torch.float32}
