"""Measured milliseconds: a clock that counts MACs takes the place of the real one."""

import dataclasses
import functools
import json
import math
import threading
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gdws_explorer.errors import BudgetError, Cancelled, DataError, ModelError, PlanError
from gdws_explorer.network.latency import benchmark
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable, LayerTimes, Spread
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.families import FAMILIES


class Various(nn.Module):
    """One of each: 3×3, grouped, strided, 1×1, twice called, and linear."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.strided = nn.Conv2d(12, 8, 3, 2, 1, bias=False)
        self.pointwise = nn.Conv2d(8, 16, 1)
        self.once = nn.Conv2d(16, 16, 3, padding=1)
        self.twice = nn.Conv2d(16, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.pointwise(self.strided(self.grouped(self.first(x))))
        x = torch.relu(self.bn(self.twice(self.twice(self.once(x)))))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def net():
    return Network(Various(), torch.randn(2, 3, 8, 8))


@pytest.fixture
def runs(monkeypatch):
    """One ms for a thousand MACs; the list of what was run."""
    met, counted = [], WeakKeyDictionary()

    def count(module, inputs):
        met.append(module)
        shapes = tuple(x.shape for x in inputs)
        known = counted.setdefault(module, {})
        if shapes not in known:
            with FlopCounterMode(display=False) as counter:
                for x in inputs:
                    module(x)
            known[shapes] = counter.get_total_flops() / 2000
        return known[shapes]

    monkeypatch.setattr(benchmark, "_ms", count)
    return met


def measured(net, **options):
    options = {"repeats": 2, "step": 1, **options}
    return benchmark.measure_layers(net.model, net.example, net.layers, net.fingerprint, **options)


def able(net):
    return [(n, one) for n in net.names for one in net.layer(n).families]


@pytest.mark.usefixtures("runs")
def test_every_family_of_every_layer_is_answered(net):
    found = measured(net)
    kinds = {one for _, one in able(net)}
    assert kinds == set(FAMILIES)
    assert list(found.layers) == list(net.names)
    for name, one in able(net):
        layer, method, axes = net.layer(name), FAMILIES[one], found.layers[name].families[one].ranks
        assert len(axes) == len(method.ranks)
        assert all(axis[0] == 1 for axis in axes)
        assert method.cost(layer, *(axis[-1] for axis in axes)).macs > layer.macs, "past break-even"
        assert found.ms(name, "dense") == pytest.approx(layer.macs / 1000)
        for ranks in np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)):
            expected = method.cost(layer, *ranks).macs / 1000
            assert found.ms(name, one, *ranks) == pytest.approx(expected)


@pytest.mark.usefixtures("runs")
def test_what_is_linear_in_the_ranks_is_interpolated_and_extrapolated_exactly(net):
    found = measured(net)
    for name, one in able(net):
        method, layer = FAMILIES[one], net.layer(name)
        most = layer.weight_shape[:2] if one == "tucker2" else (2000,)
        for shares in ((0.2, 0.9), (0.7, 0.4), (0.95, 0.8)):
            ranks = [math.ceil(share * m) for share, m in zip(shares, most, strict=False)]
            expected = method.cost(layer, *ranks).macs / 1000
            assert found.ms(name, one, *ranks) == pytest.approx(expected, rel=1e-6)


def test_a_curve_by_hand():
    curve = LatencyCurve(((1, 3, 7),), (2.0, 4.0, 4.0))
    assert [curve(r) for r in (0, 1, 2, 3, 5, 7, 100)] == [2, 2, 3, 4, 4, 4, 4]
    assert LatencyCurve(((1, 3),), (2.0, 4.0))(5) == 6
    plane = LatencyCurve(((1, 3), (1, 5)), (1.0, 3.0, 2.0, 6.0))
    assert plane(2, 3) == 3
    assert plane(3, 9) == 10
    assert plane(5, 5) == 9
    assert plane(5, 9) == 13, "each axis goes on along its own slope"
    assert plane(1, 9) == 7, "the slope at the other axis's end"
    assert LatencyCurve(((4,),), (2.0,))(9) == 2
    stairs = LatencyCurve(((1, 4, 8, 10),), (1.0, 2.0, 4.0, 5.0), step=4)
    assert [stairs(r) for r in (1, 2, 4, 5, 8, 9, 10, 11)] == [1, 2, 2, 4, 4, 5, 5, 6]


def test_more_ranks_are_never_faster_and_arrays_equal_numbers(net, monkeypatch):
    noise = np.random.default_rng(0)
    monkeypatch.setattr(benchmark, "_ms", lambda module, inputs: noise.uniform(0.5, 2))
    for step in (1, 4):
        found = measured(net, step=step)
        for name, one in able(net):
            axes = [np.arange(1, 30)] * len(FAMILIES[one].ranks)
            whole = found.ms(name, one, *np.meshgrid(*axes, indexing="ij"))
            assert whole.shape == tuple(map(len, axes))
            assert all((np.diff(whole, axis=k) > -1e-12).all() for k in range(whole.ndim))
            assert whole.min() == min(found.layers[name].families[one].ms)
            for place in noise.integers(0, 29, (10, len(axes))):
                one_by_one = found.ms(name, one, *(int(p) + 1 for p in place))
                assert isinstance(one_by_one, float)
                assert whole[tuple(place)] == one_by_one


@pytest.mark.slow
def test_equal_layers_are_measured_once_and_calls_count(net, runs):
    found = measured(net)
    many = len(runs)
    assert net.layer("twice").calls == 2
    once, twice = found.layers["once"], found.layers["twice"]
    assert twice.dense == 2 * once.dense
    for one, curve in twice.families.items():
        assert curve.ranks == once.families[one].ranks
        np.testing.assert_allclose(curve.ms, 2 * np.array(once.families[one].ms))
    runs.clear()
    layers = [layer for layer in net.layers if layer.name != "twice"]
    fewer = benchmark.measure_layers(net.model, net.example, layers, "", repeats=2, step=1)
    assert len(runs) == many
    assert "twice" not in fewer.layers


def test_layers_of_other_sizes_and_batches_are_measured_apart(plain, runs):
    example = torch.randn(1, 4, 8, 8)
    alike = Network(plain(4, 4, 4, 4), example)
    measured(alike)
    equal = len(runs)
    runs.clear()
    pooled = nn.Sequential(*plain(4, 4, 4), nn.MaxPool2d(2), *plain(4, 4))
    net = Network(pooled, example)
    found = measured(net, batch=3)
    assert len(runs) > equal
    assert found.ms("0", "dense") == pytest.approx(3 * net.layer("0").macs / 1000)
    assert found.batch == 3


@pytest.mark.usefixtures("runs")
def test_a_plan_takes_the_rest_and_its_layers(net):
    found = measured(net)
    assert found.network == pytest.approx(net.macs / 1000)
    assert found.spread.low == found.spread.high == found.network
    assert found.spread.runs > 2
    assert found.total(net.plan()) == pytest.approx(found.network)
    plan = net.plan({"once": GDWS(9), "twice": Tucker2(3, 5), "fc": SVD(2)})
    assert found.total(plan) == pytest.approx(net.summary(plan).macs / 1000)
    slow = dataclasses.replace(found, network=found.network + 5)
    assert slow.rest == pytest.approx(5)
    assert dataclasses.replace(found, network=found.network / 2).rest == 0


@pytest.mark.usefixtures("runs")
def test_ranks_are_measured_at_whole_steps(net):
    found = measured(net, step=4, points=4)
    (axis,) = found.layers["once"].families["gdws"].ranks
    assert axis[0] == 1
    assert all(r % 4 == 0 for r in axis[1:])
    assert found.ms("once", "svd", 5) == found.ms("once", "svd", 8)


@pytest.mark.usefixtures("runs")
def test_families_can_be_chosen(net):
    found = measured(net, families=["spatial"])
    assert "fc" not in found.layers
    assert set(found.layers["once"].families) == {"spatial"}
    with pytest.raises(
        PlanError, match="once was not measured as 'gdws'; expected one of dense, spatial"
    ):
        found.ms("once", "gdws", 3)
    with pytest.raises(PlanError, match="'fc' was not measured; expected one of first"):
        found.ms("fc", "dense")
    with pytest.raises(BudgetError, match="once: 2 ranks for spatial; expected 1"):
        found.ms("once", "spatial", 1, 2)


@pytest.mark.usefixtures("runs")
def test_saved_and_loaded(net, tmp_path):
    found = measured(net)
    path = tmp_path / "ms.json"
    found.save(path)
    again = LatencyTable.load(path)
    assert again == found
    assert again.ms("once", "tucker2", 3, 5) == found.ms("once", "tucker2", 3, 5)
    assert again.machine["torch"] == torch.__version__
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.network = 1.0


DAMAGES = {
    "schema": lambda raw: raw.update(schema=3),
    "missing": lambda raw: raw["latencies"].pop("network"),
    "extra": lambda raw: raw["latencies"].update(other=1),
    "negative": lambda raw: raw["latencies"].update(network=-1.0),
    "infinite": lambda raw: raw["latencies"].update(network=math.inf),
    "text": lambda raw: raw["latencies"].update(batch="1"),
    "short": lambda raw: curve(raw)["ms"].pop(),
    "falling": lambda raw: curve(raw)["ranks"][0].reverse(),
    "empty": lambda raw: curve(raw).update(ranks=[]),
}


def curve(raw):
    return raw["latencies"]["layers"]["once"]["families"]["gdws"]


@pytest.mark.usefixtures("runs")
def test_a_damaged_file_is_refused_with_the_reason(net, tmp_path):
    path = tmp_path / "ms.json"
    found = measured(net)
    found.save(path)
    good = path.read_text()
    for damage in DAMAGES.values():
        raw = json.loads(good)
        damage(raw)
        path.write_text(json.dumps(raw))
        with pytest.raises(DataError, match=r"cannot be read as latencies \(.+\); measure again"):
            LatencyTable.load(path)
    path.write_text(good[:300])
    with pytest.raises(DataError, match="measure again"):
        LatencyTable.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="measure again"):
        LatencyTable.load(path)
    with pytest.raises(DataError, match="No such file"):
        LatencyTable.load(tmp_path / "none.json")


def linear_times(net):
    """GDWS as slow as dense from G = 8 on; Tucker-2 always faster; SVD never."""

    def times(dense):
        return LayerTimes(
            dense,
            {
                "gdws": LatencyCurve(((4, 8, 16),), (dense / 2, dense, 2 * dense)),
                "svd": LatencyCurve(((1, 8),), (dense, 2 * dense)),
                "tucker2": LatencyCurve(((1, 16), (1, 16)), (dense / 4,) * 3 + (dense / 2,)),
            },
        )

    layers = {"first": times(1.0), "once": times(4.0)}
    return LatencyTable(1, 1, "cpu", {}, net.fingerprint, 6.0, Spread(5.9, 6.1, 9), layers)


def test_from_which_rank_on_a_layer_is_slower_than_dense(net):
    table = linear_times(net)
    assert table.slower_from("once", "gdws") == 8
    assert table.slower_from("once", GDWS) == 8
    assert table.slower_from("once", "svd") == 1
    assert table.slower_from("once", "tucker2") is None
    assert table.families("once") == ("gdws", "svd", "tucker2")
    assert table.families("fc") == ()
    # Between two equal times, interpolation may be smaller by rounding.
    flat = LayerTimes(0.3, {"svd": LatencyCurve(((3, 10),), (0.3, 0.3))})
    level = dataclasses.replace(table, layers={"once": flat})
    assert level.slower_from("once", "svd") == 1
    with pytest.raises(PlanError, match="'fc' was not measured"):
        table.slower_from("fc", "svd")


def test_a_summary_has_the_milliseconds_of_the_plan_and_its_layers(net):
    plan = net.plan({"once": GDWS(4)})
    assert net.summary(plan).ms is None
    assert net.summary(plan).layers["once"].ms is None
    net.use_latencies(linear_times(net))
    found = net.summary(plan)
    assert (found.ms, found.dense_ms) == (4.0, 6.0)
    assert (found.layers["once"].ms, found.layers["once"].dense_ms) == (2.0, 4.0)
    assert not found.layers["once"].slower
    assert found.layers["fc"].ms is None
    slow = net.summary(net.plan({"once": GDWS(8)})).layers
    assert slow["once"].slower
    assert not slow["first"].slower  # dense is not slower than dense


def test_a_layer_without_a_time_stays_dense_in_a_budget_by_time(net):
    net.use_latencies(linear_times(net))  # of two layers only
    plan = net.budget(ms=5.0, families=["gdws", "tucker2"])
    changed = {name for name, choice in plan if choice != Dense()}
    assert changed <= {"first", "once"}
    assert net.summary(plan).ms <= 5.0 + 1e-6
    for name, choice in {"strided": SVD(2), "once": SpatialSVD(2)}.items():
        unknown = net.summary(net.plan({name: choice}))
        assert unknown.ms is None  # nothing is said where a changed layer was not timed so
        assert unknown.layers[name].ms is None
        assert unknown.dense_ms == 6.0


def test_no_budget_makes_a_layer_slower_unless_it_may(net):
    fixed = {n: Dense() for n in net.names if n not in {"once"}}
    budget = functools.partial(net.budget, families=["gdws"], fixed=fixed)
    macs = net.summary(net.plan({"once": GDWS(10)})).macs / net.macs
    assert dict(budget(macs=macs))["once"].G == 10
    net.use_latencies(linear_times(net))
    assert dict(budget(macs=macs))["once"].G < 8
    assert dict(budget(macs=macs, slower=True))["once"].G == 10
    assert net.summary(budget(params=0.99)).layers["once"].slower is False
    least = net.least(families=["svd"], fixed=fixed)
    assert least == 1.0  # every SVD is slower, so nothing can be saved
    assert net.least(families=["svd"], fixed=fixed, slower=True) < 1.0


@pytest.mark.usefixtures("runs")
def test_a_file_of_version_0_1_is_of_torch(net, tmp_path):
    path = tmp_path / "ms.json"
    measured(net).save(path)
    raw = json.loads(path.read_text())
    raw["schema"] = 1
    for name in ("runtime", "processor_share"):
        del raw["latencies"][name]
    path.write_text(json.dumps(raw))
    assert LatencyTable.load(path).runtime == "torch"


def test_it_stops_within_one_run_and_says_how_far_it_is(net, runs):
    said = []
    measured(net, progress=said.append)
    assert said == sorted(said)
    assert 0 < said[0] < 0.1
    assert said[-1] == pytest.approx(1)
    runs.clear()
    with pytest.raises(Cancelled):
        measured(net, cancel=lambda: len(runs) >= 7)
    assert len(runs) == 7
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        measured(net, cancel=event)


@pytest.mark.usefixtures("runs")
def test_threads_random_state_and_model_stay_as_they_were(net):
    other = torch.get_num_threads() + 1
    before, state = torch.get_num_threads(), torch.get_rng_state()
    hooks = [len(m._forward_pre_hooks) for m in net.model.modules()]
    noisy = nn.Sequential(net.model, Noise())
    found = benchmark.measure_layers(noisy, net.example, (), "", threads=other, repeats=2)
    assert found.threads == other
    with pytest.raises(Cancelled):
        measured(net, threads=other, cancel=lambda: True)
    assert measured(net).threads == before == torch.get_num_threads()
    assert torch.equal(torch.get_rng_state(), state)
    assert hooks == [len(m._forward_pre_hooks) for m in net.model.modules()]


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Single(nn.Module):
    """Takes one image only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).view(1, 4, 6, 6)


@pytest.mark.usefixtures("runs")
def test_what_cannot_be_measured_is_named(net):
    for what, value in {"batch": 0, "repeats": 1.5, "threads": 0, "points": 1, "step": 0}.items():
        with pytest.raises(DataError, match=f"{what} is {value}; expected a whole number from"):
            measured(net, **{what: value})
    for families in ("gdws", ["gdws", "cp"]):
        with pytest.raises(PlanError, match=r"out of gdws, tucker2, svd|unknown family 'cp'"):
            measured(net, families=families)
    single = Network(Single(), torch.randn(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"does not take a batch of 2 .+ measure with batch=1"):
        measured(single, batch=2)


def test_inputs_and_weights_are_like_the_real_ones(net):
    module = net.model.get_submodule("once")
    for one in ("gdws", "tucker2", "svd", "spatial"):
        ranks = (20,) if one != "tucker2" else (5, 9)
        made = benchmark.random_layer(module, one, ranks)
        assert all(bool((p != 0).all()) for p in made.parameters() if p.ndim > 1)
        assert float(made(torch.randn(1, 16, 4, 4)).std()) == pytest.approx(1, abs=0.9)
    assert benchmark.random_layer(module, "gdws", (20,)).counts.max() == 2, "from all channels"
    last = net.model.to(memory_format=torch.channels_last)
    met = benchmark._inputs(last, net.example.to(memory_format=torch.channels_last), ["once", "fc"])
    assert met["once"][0].channels_last
    assert met["once"][0].shape == (1, 16, 4, 4)
    assert not met["fc"][0].channels_last


def test_with_the_real_clock(resnet, images):
    net = Network(resnet, images)
    found = benchmark.measure_layers(net.model, net.example, net.layers, net.fingerprint, repeats=1)
    assert found.fingerprint == net.fingerprint
    assert found.device == "cpu"
    for name, one in able(net):
        ms = found.ms(name, one, *[np.arange(1, 200)] * len(FAMILIES[one].ranks))
        assert np.isfinite(ms).all()
        assert (ms > 0).all()
    assert 0 < found.total(net.budget(macs=0.6)) < math.inf


# -- budgets in milliseconds ------------------------------------------------------------


@pytest.mark.slow
def test_with_a_clock_of_macs_a_budget_of_ms_is_one_of_macs(net, runs):
    lat = benchmark.measure_layers(net.model, net.example, net.layers, net.fingerprint, step=1)
    net.use_latencies(lat)
    assert net.latencies is lat
    dense = lat.total(net.plan())
    for share in (0.9, 0.7, 0.5):
        found = net.optimum(ms=share * dense, families=["svd"], weights="relative")
        same = net.optimum(macs=share, families=["svd"], weights="relative")
        assert lat.total(found.plan) <= share * dense + 1e-6
        assert found.found == pytest.approx(same.found, rel=1e-6)
        assert found.bound <= found.found


def test_ms_budgets_respect_locks_and_skips(net, runs):
    lat = net.measure_latency()
    fixed = {"strided": Tucker2(2, 3)}
    plan = net.budget(ms=0.7 * lat.network, skip=["once"], fixed=fixed)
    assert plan["strided"] == Tucker2(2, 3)
    assert str(plan["once"]) == "dense"
    assert lat.total(plan) <= 0.7 * lat.network
    least = net.least("ms", skip=["once"], fixed=fixed)
    assert lat.total(net.budget(ms=least * (1 + 1e-6), skip=["once"], fixed=fixed)) <= least * 1.001
    with pytest.raises(BudgetError, match="ms cannot be met"):
        net.budget(ms=0.5 * least, skip=["once"], fixed=fixed)


def test_ms_wants_times_first_and_numbers_that_make_sense(net, runs):
    with pytest.raises(BudgetError, match=r"net\.measure_latency\(\) first"):
        net.budget(ms=3.0)
    lat = net.measure_latency()
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(BudgetError, match="the ms budget is"):
            net.budget(ms=wrong)
    with pytest.raises(BudgetError, match="exactly one of macs=, params=, error= and ms="):
        net.budget(ms=1.0, macs=0.5)
    other = Network(Various(), torch.randn(1, 3, 8, 8))
    with pytest.raises(PlanError, match="of another network"):
        other.use_latencies(lat)


def test_a_calibrated_network_goes_by_the_same_times(net, runs):
    lat = net.measure_latency()
    x = torch.rand(20, 3, 8, 8)
    aware = net.calibrated(net.calibrate(x))
    plan = aware.budget(ms=0.8 * lat.network)
    assert lat.total(plan) <= 0.8 * lat.network
    assert plan.calibration == aware.label


def test_new_times_replace_the_old_ones(net, runs, tmp_path):
    lat = net.measure_latency()
    macs = net.budget(macs=0.6)
    plan = net.budget(ms=0.6 * lat.network)
    slower = dataclasses.replace(
        lat,
        network=2 * lat.network,
        layers={
            name: dataclasses.replace(
                times,
                dense=2 * times.dense,
                families={
                    one: dataclasses.replace(curve, ms=tuple(2 * ms for ms in curve.ms))
                    for one, curve in times.families.items()
                },
            )
            for name, times in lat.layers.items()
        },
    )
    slower.save(tmp_path / "times.json")
    net.use_latencies(LatencyTable.load(tmp_path / "times.json"))
    assert net.budget(ms=1.2 * lat.network) == plan
    assert net.budget(macs=0.6) == macs


def test_times_measured_on_a_calibrated_network_are_those_of_all_its_layers(net, runs):
    x = torch.rand(20, 3, 8, 8)
    aware = net.calibrated(net.calibrate(x))
    lat = aware.measure_latency()
    assert lat.total(aware.budget(ms=0.8 * lat.network)) <= 0.8 * lat.network
    net.use_latencies(lat)
    assert lat.total(net.budget(ms=0.8 * lat.network)) <= 0.8 * lat.network
