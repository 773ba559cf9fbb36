"""Summaries and built networks, by formula against by counting; the paper's allocations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, Cancelled, PlanError
from gdws_explorer.factorize import gdws, svd, tucker
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2, family_of
from gdws_explorer.network.plans.cost import break_even, cost
from gdws_explorer.network.plans.families import FACTORISED, FAMILIES
from gdws_explorer.network.surgery import apply_structure, densify


def able(net, one):
    """The names of the layers that a family can approximate."""
    return [name for name in net.names if one in net.layer(name).families]


def at(net, one, share):
    """Every layer that a family can approximate, at this share of its full ranks."""
    method = FAMILIES[one]
    most = {name: method.most(net.spectrum(name, one)) for name in able(net, one)}
    ranks = {name: [max(1, round(share * m)) for m in full] for name, full in most.items()}
    return net.plan({name: method.choice(*numbers) for name, numbers in ranks.items()})


PLANS = {
    "dense": lambda net: net.plan(),
    "one GDWS": lambda net: net.plan({"layer1.0.conv1": GDWS(20)}),
    "counts": lambda net: net.plan({"layer1.0.conv1": GDWS(5, (0, 3, 0, 0, 2, 0, 0, 0))}),
    "dearer than dense": lambda net: at(net, "gdws", 1),
    "one Tucker-2": lambda net: net.plan({"layer2.0.conv1": Tucker2(5, 3)}),
    "full Tucker-2": lambda net: net.plan({"layer2.0.conv2": Tucker2(12, 12)}),
    "one SVD": lambda net: net.plan({"layer2.0.conv1": SVD(5)}),
    "one 1×1": lambda net: net.plan({"layer2.0.downsample.0": SVD(4)}),
    "one linear": lambda net: net.plan({"fc": SVD(2)}),
    "one spatial SVD": lambda net: net.plan({"layer2.0.conv1": SpatialSVD(7)}),
    "all SVD": lambda net: at(net, "svd", 0.4),
    "full SVD": lambda net: at(net, "svd", 1),
    "all spatial": lambda net: at(net, "spatial", 0.4),
    "full spatial": lambda net: at(net, "spatial", 1),
    "one of each": lambda net: net.plan(
        {
            "conv1": SpatialSVD(3),
            "layer1.0.conv1": GDWS(11),
            "layer1.0.conv2": Tucker2(3, 5),
            "layer2.0.conv1": SVD(6),
            "layer2.0.downsample.0": SVD(3),
            "fc": SVD(2),
        }
    ),
    "the first one too": lambda net: net.plan({"conv1": Tucker2(2, 3)}),
    "lego": lambda net: net.lego(0.5),
    "mego": lambda net: net.mego(0.5),
    "budget": lambda net: net.budget(macs=0.6),
    "least": lambda net: net.budget(macs=net.least()),
    "all included": lambda net: net.budget(params=0.4, skip=()),
    "budget of SVDs": lambda net: net.budget(macs=0.7, families=("svd",), skip=()),
    "budget of spatial SVDs": lambda net: net.budget(params=0.7, families=("spatial",), skip=()),
}


@pytest.fixture(params=PLANS)
def planned(request, net):
    return net, PLANS[request.param](net)


def norms(model):
    """Squared norm of each layer's weight."""
    return {n: float(m.weight.detach().double().square().sum()) for n, m in model.named_modules()
            if isinstance(m, nn.Conv2d | nn.Linear)}  # fmt: skip


# -- a summary is the truth about what is built --------------------------------------------


def test_summary_counts_what_is_built(planned, images, flops):
    net, plan = planned
    summary, built = net.summary(plan), net.build(plan)
    assert summary.macs == flops(built, images)
    assert summary.params == sum(p.numel() for p in built.parameters())
    tensors = [*built.parameters(), *built.buffers()]
    assert summary.bytes == sum(t.numel() * t.element_size() for t in tensors)
    for name, part in summary.layers.items():
        module = built.get_submodule(name)
        tensors = [*module.parameters(), *module.buffers()]
        assert part.choice == plan[name]
        assert part.params == sum(p.numel() for p in module.parameters())
        assert part.bytes == sum(t.numel() * t.element_size() for t in tensors)
        layer = net.layer(name)
        assert (part.dense_macs, part.dense_params) == (layer.macs, layer.params)
        example = torch.randn(1, layer.weight_shape[1] * layer.groups, *layer.in_size)
        assert part.macs == flops(module, example)


def test_summary_errs_by_what_is_built(planned):
    net, plan = planned
    summary, rebuilt = net.summary(plan), densify(net.build(plan))
    energy = norms(net.model)
    for name, part in summary.layers.items():
        old, new = net.model.get_submodule(name).weight, rebuilt.get_submodule(name).weight
        error = float((old.double() - new.double()).detach().square().sum())
        assert part.error == pytest.approx(error, rel=1e-4, abs=1e-11 * energy[name])
        assert part.energy == pytest.approx(energy[name])
    assert summary.error == pytest.approx(sum(p.error for p in summary.layers.values()))
    total = sum(energy[name] for name in net.names)
    assert summary.relative_error == pytest.approx(summary.error / total)


def test_a_summary_does_not_depend_on_the_plans_before(planned):
    net, plan = planned
    found = net.summary(plan)
    for other in (net.plan(), net.budget(macs=0.5, skip=())):
        net.summary(other)
        assert net.summary(plan) == found


def test_built_and_densified_networks_agree(planned, images):
    net, plan = planned
    built = net.build(plan)
    rebuilt = densify(built)
    assert not any(isinstance(m, FACTORISED) for m in rebuilt.modules())
    assert [type(m) for m in rebuilt.modules()] == [type(m) for m in net.model.modules()]
    with torch.no_grad():
        torch.testing.assert_close(built(images), rebuilt(images), atol=1e-5, rtol=0)
    exact = all(net.error(name, choice) < 1e-20 for name, choice in plan)
    same = torch.allclose(built(images), net.model(images), atol=1e-5, rtol=0)
    assert same == exact


def test_a_built_network_travels_as_a_state_dict(planned, resnet, images):
    net, plan = planned
    built = net.build(plan)
    again = apply_structure(resnet, plan).eval()
    again.load_state_dict(built.state_dict())
    assert torch.equal(again(images), built(images))
    assert [type(m) for m in again.modules()] == [type(m) for m in built.modules()]


def test_a_built_network_is_in_eval_mode_and_can_be_trained(resnet, images):
    built = Network(resnet.train(), images).build(Network(resnet, images).budget(macs=0.6))
    assert not any(m.training for m in built.modules())
    assert all(p.requires_grad for p in built.parameters())
    built(images).sum().backward()
    assert all(p.grad is not None for p in built.parameters())


def test_building_consumes_no_randomness(net):
    plan, before = net.budget(macs=0.6), torch.get_rng_state()
    apply_structure(net.model, plan)
    densify(net.build(plan))
    assert torch.equal(torch.get_rng_state(), before)


def test_two_builds_share_nothing(net, images):
    plan = net.plan({"layer1.0.conv1": GDWS(20)})
    first, second = net.build(plan), net.build(plan)
    with torch.no_grad():
        for tensor in [*first.parameters(), *first.buffers()]:
            tensor.zero_()
    assert second(images).any()
    torch.testing.assert_close(net.build(plan)(images), second(images))


def test_densify_leaves_its_argument_alone(net, images):
    built = net.build(net.plan({"layer1.0.conv1": GDWS(20)})).train()
    rebuilt = densify(built)
    assert isinstance(built.layer1[0].conv1, GDWSConv2d)
    for model in (built, built.eval()):
        modes = [m.training for m in densify(model).modules()]
        assert modes == [model.training] * len(modes)
    assert rebuilt.training


def test_a_weight_norm_elsewhere_does_not_stop_building(images):
    with pytest.warns(FutureWarning):
        normed = nn.utils.weight_norm(nn.Conv2d(4, 4, 3))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), normed, nn.Conv2d(4, 4, 3))
    net = Network(model, images)
    built = net.build(net.plan({"2": GDWS(4)}))
    outputs = built(images)  # now its weight hangs on a graph again
    torch.testing.assert_close(densify(built)(images), outputs, atol=1e-5, rtol=0)


# -- look-ups only -------------------------------------------------------------------------


def test_after_prepare_nothing_is_decomposed_and_nothing_is_run(net, monkeypatch):
    done = []
    assert net.prepare(done.append) is net
    assert done == sorted(done)
    assert done[-1] == 1.0

    def refuse(*_args, **_kwargs):
        raise AssertionError("a slider move computed something")

    monkeypatch.setattr(gdws, "spectrum", refuse)
    monkeypatch.setattr(tucker, "spectrum", refuse)
    monkeypatch.setattr(svd, "spectrum", refuse)
    monkeypatch.setattr(svd, "spatial_spectrum", refuse)
    monkeypatch.setattr(torch.linalg, "eigvalsh", refuse)
    monkeypatch.setattr(np.linalg, "eigh", refuse)
    monkeypatch.setattr(torch.linalg, "eigh", refuse)
    monkeypatch.setattr(nn.Module, "__call__", refuse)
    monkeypatch.setattr(nn.Module, "__init__", refuse)
    plan = net.budget(macs=0.6).replace("layer2.0.conv1", Tucker2(3, 3))
    for choice in (SVD(3), SpatialSVD(3)):
        assert net.summary(plan.replace("layer2.0.conv1", choice)).error > 0
    for one in FAMILIES:
        net.summary(net.budget(macs=0.9, families=[one]))
    assert net.summary(plan).macs < net.macs
    net.summary(net.budget(error=0.1))
    net.summary(net.budget(params=0.7))
    net.summary(net.lego(0.1))
    net.summary(net.mego(0.3))
    assert net.table("layer1.0.conv1", ("gdws",)).cost[0] > 0


def test_prepare_stops_when_told(net):
    with pytest.raises(Cancelled):
        net.prepare(cancel=lambda: True)


# -- plans that do not fit -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"layer1.0.conv1": GDWS(0)}, BudgetError, r"layer1\.0\.conv1: G is 0; .*1 to 64"),
        ({"layer1.0.conv1": GDWS(65)}, BudgetError, "G is 65; .*1 to 64"),
        ({"layer1.0.conv1": GDWS(3, (3,))}, BudgetError, r"layer1\.0\.conv1: counts .*\(8,\)"),
        ({"layer1.0.conv1": GDWS(4, (3, *[0] * 7))}, BudgetError, "sum to 3; expected G = 4"),
        ({"layer1.0.conv1": GDWS(9, (9, *[0] * 7))}, BudgetError, "0 to 8"),
        ({"layer1.0.conv1": GDWS(0, (0,) * 8)}, BudgetError, "all 0"),
        ({"layer1.0.conv1": Tucker2(9, 1)}, BudgetError, "r_out is 9; .*1 to 8"),
        ({"layer1.0.conv1": Tucker2(1, 0)}, BudgetError, "r_in is 0"),
        ({"layer1.0.conv1": SVD(9)}, BudgetError, r"layer1\.0\.conv1: rank is 9; .*1 to 8"),
        ({"layer1.0.conv1": SpatialSVD(25)}, BudgetError, "rank is 25; .*1 to 24"),
        ({"layer1.0.conv1": SpatialSVD(0)}, BudgetError, "rank is 0"),
        ({"fc": SVD(6)}, BudgetError, "fc: rank is 6; .*1 to 5"),
        ({"fc": GDWS(1)}, PlanError, "fc cannot be approximated by gdws: a linear layer"),
        ({"fc": Tucker2(1, 1)}, PlanError, "fc cannot be approximated by tucker2: a linear"),
        ({"fc": SpatialSVD(1)}, PlanError, "fc cannot be approximated by spatial: a linear"),
        ({"layer2.0.downsample.0": GDWS(1)}, PlanError, r"cannot be approx.* by gdws: a 1×1"),
        ({"layer2.0.downsample.0": SpatialSVD(1)}, PlanError, "by spatial: its kernel is one col"),
        ({"bn1": SVD(1)}, PlanError, "no layer 'bn1'"),
        ({"nowhere": Dense()}, PlanError, "no layer 'nowhere'"),
    ],
)
@pytest.mark.parametrize("use", ["check", "summary", "build"])
def test_choices_that_do_not_fit(net, choices, error, words, use):
    with pytest.raises(error, match=words):
        getattr(net, use)(net.plan(choices))


@pytest.mark.parametrize("use", ["check", "summary", "build"])
def test_plans_of_other_networks(net, use):
    good = net.plan()
    for plan, words in [
        (dataclasses.replace(good, fingerprint="0" * 64), "made for another network"),
        (dataclasses.replace(good, layers=good.layers[:-1]), "not this network's"),
        (dataclasses.replace(good, layers=good.layers[::-1]), "not this network's"),
        (good.to_dict(), "dict is not a plan"),
        (None, "NoneType is not a plan"),
    ]:
        with pytest.raises(PlanError, match=words):
            getattr(net, use)(plan)


def test_reshape_refuses_another_network(net, plain):
    with pytest.raises(PlanError, match="no layer 'conv1'"):
        apply_structure(plain(3, 4), net.plan())
    other = nn.ModuleDict({"0": nn.Linear(3, 3), "1": nn.Conv2d(4, 4, 3, groups=2), "2": nn.ReLU()})
    for name, choice, words in [
        ("0", GDWS(1), "0 cannot become GDWS G=1: a linear layer"),
        ("0", SpatialSVD(1), "0 cannot become spatial SVD 1: a linear layer"),
        ("1", Tucker2(1, 1), "1 cannot become Tucker-2 1×1: groups=2"),
        ("2", SVD(1), r"2 is a ReLU; the plan expects an nn\.Conv2d or nn\.Linear"),
    ]:
        with pytest.raises(PlanError, match=words):
            apply_structure(other, dataclasses.replace(net.plan(), layers=((name, choice),)))
    for name in ("0", "1"):
        apply_structure(other, dataclasses.replace(net.plan(), layers=((name, SVD(1)),)))


def test_names_that_the_network_lacks(net):
    for ask in (
        lambda: net.layer("x"),
        lambda: net.gdws("x"),
        lambda: net.tucker("x"),
        lambda: net.spectrum("x", "svd"),
        lambda: net.error("x", SVD(1)),
        lambda: net.lego(0.1, {"x": torch.ones(8)}),
        lambda: net.lego(0.1, skip=["x"]),
        lambda: net.lego(0.1, fixed={"x": GDWS(1)}),
        lambda: net.budget(macs=0.9, skip=["x"]),
        lambda: net.budget(macs=0.9, fixed={"x": GDWS(1)}),
        lambda: Network(net.model, net.example, skip=["x"]),
    ):
        with pytest.raises(PlanError, match="no layer 'x'"):
            ask()
    with pytest.raises(PlanError, match="cannot be approximated"):
        net.gdws("fc")
    with pytest.raises(
        PlanError, match="unknown family 'cp'; expected one of gdws, tucker2, svd, spatial"
    ):
        net.spectrum("fc", "cp")
    with pytest.raises(PlanError, match="fc cannot be approximated by gdws"):
        net.budget(macs=0.9, fixed={"fc": GDWS(1)})
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
    other = Network(nn.Sequential(nn.Conv2d(3, 8, 3), normed), net.example)
    with pytest.raises(PlanError, match="1 cannot be fixed: it can only stay dense"):
        other.budget(macs=0.9, fixed={"1": SVD(1)})
    with pytest.raises(PlanError, match="collection of layer names"):
        net.budget(macs=0.9, skip="conv1")


# -- algorithm 3 and MEGO per layer --------------------------------------------------------


def plain_lego(weight, beta, alpha):
    """Algorithm 2, from METHODS section 1, with one torch.svd per channel: `counts, kernel`."""
    out, channels, high, wide = weight.shape
    triplets, factors = [], []
    for c in range(channels):
        u, s, v = torch.svd(weight[:, c].double().reshape(out, high * wide))
        factors.append((u, s, v))
        triplets += [(float(alpha[c]) * float(s[i]) ** 2, c, i) for i in range(len(s))]
    counts, dropped = [len(f[1]) for f in factors], 0.0
    for score, c, _ in sorted(triplets, key=lambda t: (t[0], -t[1], -t[2])):
        if dropped + score > beta or sum(counts) == 1:
            break
        dropped += score
        counts[c] -= 1
    kernel = torch.stack(
        [(u[:, :g] * s[:g]) @ v[:, :g].T for (u, s, v), g in zip(factors, counts, strict=True)], 1
    )
    return counts, kernel.reshape(weight.shape)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.3, 3.0, 1e6])
def test_lego_is_algorithm_3(net, beta, weighted):
    alpha = {n: torch.rand(net.layer(n).weight_shape[1]) for n in net.names if weighted}
    plan = net.lego(beta, alpha if weighted else None)
    rebuilt = densify(net.build(plan))
    assert {n for n, c in plan if c == Dense()} == {"conv1", "layer2.0.downsample.0", "fc"}
    for name in able(net, "gdws")[1:]:
        weight = net.model.get_submodule(name).weight
        ones = torch.ones(weight.shape[1])
        counts, kernel = plain_lego(weight, beta, alpha.get(name, ones))
        assert net.counts(name, plan[name]).tolist() == counts
        torch.testing.assert_close(
            rebuilt.get_submodule(name).weight.double(), kernel, atol=1e-6, rtol=0
        )


def test_lego_writes_counts_only_where_alpha_changes_them(net):
    ones = {n: torch.ones(net.layer(n).weight_shape[1]) for n in net.names}
    assert net.lego(0.3, ones) == net.lego(0.3)
    assert net.lego(0.3, ones).hash == net.lego(0.3).hash
    first = {"layer1.0.conv1": torch.tensor([9.0, *[0.1] * 7])}
    assert net.lego(0.05, first)["layer1.0.conv1"].counts is not None
    assert net.lego(0.05, first)["layer1.0.conv2"].counts is None


@pytest.mark.parametrize("fraction", [1e-6, 0.1, 0.5, 1.0])
def test_mego_gives_every_layer_the_same_share(net, fraction):
    plan = net.mego(fraction)
    summary = net.summary(plan)
    assert {n for n, c in plan if c == Dense()} == {"conv1", "layer2.0.downsample.0", "fc"}
    for name in able(net, "gdws")[1:]:
        part, spectrum = summary.layers[name], net.gdws(name)
        one = cost(net.layer(name), GDWS(1)).macs
        assert part.macs <= max(one, fraction * part.dense_macs)
        kernels = plan[name].G
        if kernels < spectrum.full:
            assert part.macs + one > fraction * part.dense_macs
        assert part.error == spectrum.error(spectrum.mego(plan[name].G))


def test_mego_finds_a_layer_s_own_fraction_again(net):
    name = "layer1.0.conv1"
    for G in range(1, break_even(net.layer(name)) + 1):
        part = net.summary(net.plan({name: GDWS(G)})).layers[name]
        assert net.mego(part.macs / part.dense_macs)[name] == GDWS(G)


def test_skip_and_fixed(net):
    everything = net.lego(0.5, skip=())
    assert isinstance(everything["conv1"], GDWS)
    assert Network(net.model, net.example, skip=()).lego(0.5).layers == everything.layers
    plan = net.lego(0.5, skip=["layer1.0.conv2"], fixed={"layer2.0.conv1": Tucker2(2, 2)})
    assert isinstance(plan["conv1"], GDWS)
    assert (plan["layer1.0.conv2"], plan["layer2.0.conv1"]) == (Dense(), Tucker2(2, 2))


@pytest.mark.parametrize("bad", [-1e-9, float("nan"), "0.5", None])
def test_beta_that_cannot_be_used(net, bad):
    with pytest.raises(BudgetError, match="expected a number ≥ 0"):
        net.lego(bad)


@pytest.mark.parametrize("bad", [0, -0.1, 1.0001, float("nan"), "0.5"])
def test_fractions_that_cannot_be_used(net, bad):
    asks = [
        net.mego,
        lambda x: net.budget(macs=x),
        lambda x: net.budget(params=x),
        lambda x: net.budget(error=x),
    ]
    for ask in asks:
        with pytest.raises(BudgetError, match=r"expected a fraction of the dense one in \(0, 1\]"):
            ask(bad)


# -- cost ----------------------------------------------------------------------------------

LAYERS = {
    "3×3": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "3×3, stride 2": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
    "stride (2, 1)": lambda: nn.Conv2d(4, 6, 3, stride=(2, 1), padding=1),
    "stride (1, 3)": lambda: nn.Conv2d(4, 6, 3, stride=(1, 3)),
    "1×3": lambda: nn.Conv2d(4, 6, (1, 3), stride=2, padding=(0, 1)),
    "3×1": lambda: nn.Conv2d(4, 6, (3, 1), stride=2, padding=(1, 0)),
    "5×2, padding by axis": lambda: nn.Conv2d(4, 6, (5, 2), padding=(3, 1), bias=False),
    "7×7": lambda: nn.Conv2d(4, 6, 7, stride=2, padding=3),
    "same, dilated": lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=2),
    "valid": lambda: nn.Conv2d(4, 6, 4, padding="valid"),
    "reflect": lambda: nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect", stride=2),
    "circular": lambda: nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="circular"),
    "1×1, stride 2": lambda: nn.Conv2d(4, 6, 1, stride=2),
    "2 groups, stride (2, 1)": lambda: nn.Conv2d(4, 6, 3, stride=(2, 1), groups=2),
    "depthwise ×3": lambda: nn.Conv2d(4, 12, 3, groups=4, padding=1, bias=False),
    "1×1, 2 groups": lambda: nn.Conv2d(4, 6, 1, groups=2),
    "linear": lambda: nn.Linear(11, 7),
    "linear, no bias": lambda: nn.Linear(11, 7, bias=False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_family_costs_what_is_built(kind, dtype, flops):
    """MACs by torch's own counter, parameters and bytes by counting, at every rank tried."""
    model = nn.Sequential(nn.Conv2d(2, 4, (2, 1)), LAYERS[kind]()).to(dtype)
    example = torch.randn(1, 2, 12, 11, dtype=dtype)
    net = Network(model, example, skip=())
    layer, tried = net.layer("1"), 0
    for one in layer.families:
        method = FAMILIES[one]
        ranks, errors = method.table(net.spectrum("1", one))
        costs = method.cost(layer, *ranks.T)  # all at once, as the tables do
        for row in {0, len(ranks) // 2, len(ranks) - 1}:
            plan = net.plan({"1": method.choice(*map(int, ranks[row]))})
            summary, built = net.summary(plan), net.build(plan)
            assert family_of(plan["1"]) == one
            assert summary.macs == flops(built, example)
            assert summary.params == sum(p.numel() for p in built.parameters())
            tensors = [*built.parameters(), *built.buffers()]
            assert summary.bytes == sum(t.numel() * t.element_size() for t in tensors)
            part = summary.layers["1"]
            assert (part.macs, part.params) == (costs.macs[row], costs.params[row])
            assert part.bytes == costs.bytes[row]
            assert part.error == errors[row]
            tried += 1
    assert tried


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_half_the_bytes(net, resnet, images, dtype):
    half = Network(resnet.to(dtype), images, skip=())
    for plan in ("one of each", "full SVD", "full spatial"):
        whole, part = (PLANS[plan](n) for n in (net, half))
        built, summary = half.build(part), half.summary(part)
        assert {p.dtype for p in built.parameters()} == {dtype}
        assert summary.macs == net.summary(whole).macs
        tensors = [*built.parameters(), *built.buffers()]
        assert summary.bytes == sum(t.numel() * t.element_size() for t in tensors)


def test_break_even_is_the_last_rank_that_saves_macs(net):
    for name in able(net, "gdws"):
        layer = net.layer(name)
        G = break_even(layer)
        assert cost(layer, GDWS(G)).macs < layer.macs <= cost(layer, GDWS(G + 1)).macs
        out, channels, *kernel = layer.weight_shape
        area = math.prod(kernel)
        bound = channels * out * area / (area + out)  # METHODS, section 1
        assert G < bound <= G + 1


def test_larger_marks_what_is_past_break_even(net):
    name = "layer1.0.conv1"
    even = break_even(net.layer(name))
    for G, larger in [(even, False), (even + 1, True)]:
        assert net.summary(net.plan({name: GDWS(G)})).layers[name].larger is larger
