"""Networks calibrated on images: errors in outputs, plans that say so, refit and BatchNorm."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import BudgetError, Cancelled, DataError, PlanError
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attacks import FGSM


@pytest.fixture
def x():
    return torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def calibration(net, x):
    return net.calibrate(x)


@pytest.fixture
def aware(net, calibration):
    return net.calibrated(calibration)


def output_error(net, built, name, x):
    """The squared error of one layer's output, its input being the dense network's."""
    taken = []
    layer = net.model.get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda _m, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        net.model(x)
        hook.remove()
        lost = layer(taken[0]) - built.get_submodule(name)(taken[0])
    return float(lost.square().sum()) / len(x)


ABLE = ("conv1", "layer1.0.conv1", "layer2.0.conv1")


@pytest.mark.parametrize("name", ABLE)
def test_a_whole_spectrum_is_exact_in_every_family(aware, net, images, name):
    for one in aware.layer(name).families:
        method = FAMILIES[one]
        choice = method.choice(*method.most(aware.spectrum(name, one)))
        built = aware.build(aware.plan({name: choice}))
        assert aware.error(name, choice) == pytest.approx(0, abs=1e-6 * aware.energy(name))
        assert torch.allclose(built(images), net.model(images), atol=1e-4)


@pytest.mark.parametrize("one", ["gdws", "tucker2", "svd"])
def test_less_is_lost_in_the_output_than_by_the_weights_alone(aware, net, x, one):
    """Calibrated choices of the same cost err less on images that nobody calibrated on."""
    fresh = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    better = 0
    for name in ("layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2"):
        method = FAMILIES[one]
        most = method.most(net.spectrum(name, one))
        choice = method.choice(*(max(1, m // 3) for m in most))
        plain, ours = (n.build(n.plan({name: choice})) for n in (net, aware))
        errors = [output_error(net, built, name, fresh) for built in (plain, ours)]
        better += errors[1] < errors[0]
        assert errors[1] < 1.1 * errors[0]
    assert better >= 2


def test_a_pointwise_error_is_the_one_of_the_table(net, x, calibration):
    """Of a 1×1 convolution the moments are exact: so is the error."""
    aware, name = net.calibrated(calibration), "layer2.0.downsample.0"
    for rank in (1, 3, 6):
        built = aware.build(aware.plan({name: SVD(rank)}))
        wanted = output_error(net, built, name, x)
        assert aware.error(name, SVD(rank)) == pytest.approx(
            wanted,
            rel=5e-3,
            abs=1e-5 * aware.energy(name),  # the ridge
        )


def test_errors_fall_and_end_at_nothing(aware):
    for name in aware.names:
        for one in aware.layer(name).families:
            ranks, errors = FAMILIES[one].table(aware.spectrum(name, one))
            assert errors[-1] <= 1e-6 * aware.energy(name)
            if ranks.shape[1] == 1:
                assert (np.diff(errors) <= 1e-9 * errors[0]).all()


def test_layers_without_moments_stay_dense_and_say_why(aware, net):
    assert aware.names == net.names
    assert aware.layer("fc").families == ()
    assert "no moments" in aware.layer("fc").reasons["svd"]
    assert "from data" in aware.layer("conv1").reasons["spatial"]
    assert net.layer("fc").families == ("svd",), "the plain network keeps its own"
    plan = aware.budget(macs=0.4, skip=())
    assert plan["fc"] == Dense()
    assert aware.summary(plan).macs <= 0.4 * aware.macs
    with pytest.raises(PlanError, match="fc cannot be approximated by svd: the calibration"):
        aware.summary(aware.plan({"fc": SVD(2)}))
    with pytest.raises(PlanError, match="spatial SVD has no form from data"):
        aware.build(aware.plan({"conv1": SpatialSVD(2)}))


def test_groups_stay_dense(x):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 6, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    net = Network(model, x[:1])
    aware = net.calibrated(net.calibrate(x))
    assert aware.layer("2").families == ()
    assert "groups" in aware.layer("2").reasons["svd"]
    assert aware.energy("2") > 0
    assert aware.budget(macs=0.9)["2"] == Dense()


def test_plans_say_what_they_are_made_from(net, aware, calibration, x, tmp_path):
    plain, ours = net.plan({"conv1": GDWS(5)}), aware.plan({"conv1": GDWS(5)})
    assert plain.calibration is None
    assert plain != ours
    assert plain.hash != ours.hash
    assert str(ours) == f"from data: {plain}"
    assert ours.replace("conv1", Tucker2(2, 2)).calibration == ours.calibration
    ours.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == ours
    assert "calibration" not in json.loads(plain.to_json())
    for mine, other, words in (
        (net, ours, "is not calibrated"),
        (aware, plain, "the weights alone"),
        (net.calibrated(calibration, refit=x), ours, "has the calibration"),
    ):
        with pytest.raises(PlanError, match=words):
            mine.summary(other)
        with pytest.raises(PlanError, match=words):
            mine.build(other)
    assert net.plan(dict(ours)) == plain
    same = net.calibrated(net.calibrate(x))
    assert same.summary(ours) == aware.summary(ours)
    other = net.calibrated(net.calibrate(x + 0.01))
    assert other.label != aware.label


def test_refitting_in_build(net, calibration, x, images):
    fresh = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    aware, refitting = net.calibrated(calibration), net.calibrated(calibration, refit=x)
    plan = aware.budget(macs=0.5, families=["gdws", "tucker2"])
    same = refitting.budget(macs=0.5, families=["gdws", "tucker2"])
    assert dict(plan) == dict(same)
    said = []
    once = aware.build(plan, refit=x, progress=said.append)
    twice = refitting.build(same)
    assert said[-1] == 1
    assert torch.equal(once(images), twice(images))
    before, after = (
        F.mse_loss(built(fresh), net.model(fresh)) for built in (aware.build(plan), once)
    )
    assert after < 0.7 * before
    assert all(p.requires_grad for p in once.parameters())
    assert torch.equal(refitting.build(refitting.plan())(images), net.model(images))
    with pytest.raises(Cancelled):
        aware.build(plan, refit=x, cancel=lambda: True)
    with pytest.raises(DataError):
        aware.build(plan, refit=x[0])


def test_a_plain_plan_can_be_refitted_too(net, x):
    plan = net.budget(macs=0.5)
    before, after = (
        F.mse_loss(built(x), net.model(x)) for built in (net.build(plan), net.build(plan, refit=x))
    )
    assert after < before


def test_batchnorm_is_taken_of_the_images(net, x):
    plan = net.budget(macs=0.4)
    plain, moved = net.build(plan), net.build(plan, batchnorm=x)
    assert not torch.equal(plain.bn1.running_mean, moved.bn1.running_mean)
    taken = []
    moved.conv1.register_forward_hook(lambda _m, _i, out: taken.append(out))
    moved(x)
    assert torch.allclose(moved.bn1.running_mean, taken[0].mean((0, 2, 3)), atol=1e-4)


def test_gradients_come_from_the_attacked_images(net, x):
    clean, both = net.calibrate(x), net.calibrate(x, attack=FGSM(0.1))
    name = "layer1.0.conv1"
    assert torch.equal(clean[name].patches, both[name].patches)
    assert not torch.equal(clean[name].gradients, both[name].gradients)
    assert clean.fingerprint != both.fingerprint
    said = []
    net.calibrate(x, attack=FGSM(0.1), progress=said.append)
    assert said == sorted(said)
    assert said[-1] == 1


def test_a_calibration_survives_its_file(net, aware, calibration, tmp_path):
    calibration.save(tmp_path / "calibration.safetensors")
    again = net.calibrated(Calibration.load(tmp_path / "calibration.safetensors"))
    assert again.label == aware.label
    assert again.budget(macs=0.4) == aware.budget(macs=0.4)


def test_weights_lie_between_the_margins_and_the_outputs(aware, calibration):
    """Twice the decision's interest: √2 of the weight; twice the output: 1/√2."""
    plan = aware.budget(macs=0.4)
    sizes = {n: calibration.weights[n] / aware.energy(n) for n in calibration.layers}
    halfway = {n: s**0.5 for n, s in sizes.items()}
    assert plan == aware.budget(macs=0.4, weights=halfway)
    errors = {n: aware.error(n, c) * halfway[n] for n, c in plan if n in halfway}
    assert aware.summary(plan).error == pytest.approx(sum(errors.values()))
    whole = sum(aware.energy(n) * w for n, w in halfway.items())
    assert aware.summary(plan).relative_error == pytest.approx(sum(errors.values()) / whole)


def test_nothing_of_the_plain_network_changes(net, x, images):
    before = copy.deepcopy(net.model.state_dict())
    plan = net.budget(macs=0.5)
    summary = net.summary(plan)
    refitting = net.calibrated(net.calibrate(x), refit=x)
    refitting.build(refitting.budget(macs=0.5))
    assert net.summary(plan) == summary
    assert net.label is None
    after = net.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_preparing_keeps_nothing_of_a_calibrated_network(net, aware, tmp_path):
    net.prepare(cache=tmp_path)
    (file,) = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    aware.prepare(cache=tmp_path)
    assert [f.stat().st_mtime_ns for f in tmp_path.iterdir()] == [stamp]
    name, choice = "layer1.0.conv1", Tucker2(3, 3)
    assert aware.error(name, choice) != net.error(name, choice)


def test_alpha_is_computed_once(net, x, tmp_path, monkeypatch):
    from gdws_explorer.network import network

    real, calls = network.compute_alpha, []
    monkeypatch.setattr(
        network, "compute_alpha", lambda *a, **k: (calls.append(1), real(*a, **k))[1]
    )
    first = net.alpha(x, n=20, cache=tmp_path)
    assert set(first) == {n for n in net.names if n != "fc"}
    assert net.alpha(x, n=20, cache=tmp_path) is first
    assert len(calls) == 1
    again = Network(net.model, x[:1])
    assert all(torch.equal(v, first[k]) for k, v in again.alpha(x, n=20, cache=tmp_path).items())
    assert len(calls) == 1, "from the file"
    for other in ({"n": 10}, {"n": 20, "seed": 1}, {"n": 20, "attack": FGSM(0.1)}):
        net.alpha(x, cache=tmp_path, **other)
    net.alpha(x + 0.001, n=20, cache=tmp_path)
    assert len(calls) == 5
    (tmp_path / next(iter(tmp_path.iterdir())).name).write_text("damaged")
    files = [f for f in tmp_path.iterdir() if f.read_bytes() == b"damaged"]
    assert len(files) == 1


def test_a_weighted_network_uses_its_alpha(net, x):
    alpha = net.alpha(x, n=20)
    weighted = net.weighted(alpha)
    beta = 0.3 * weighted.most_error()
    assert weighted.lego(beta) == net.lego(beta, alpha)
    assert weighted.lego(beta, {}) == net.lego(beta)
    assert weighted.mego(0.5) == net.mego(0.5, alpha)
    assert weighted.lego(beta) != net.lego(beta)
    assert weighted.beta_of(weighted.lego(beta)) <= beta
    with pytest.raises(PlanError, match="no layer 'nothing'"):
        net.weighted({"nothing": torch.ones(3)})


def test_families_share_the_measured_energy_of_the_output(aware, net, x):
    """What all families lose at most is the output itself, so that their errors compare."""
    for name in ABLE:
        taken = []
        layer = net.model.get_submodule(name)
        hook = layer.register_forward_hook(lambda _m, _i, out, t=taken: t.append(out))
        with torch.no_grad():
            net.model(x)
        hook.remove()
        bias = 0 if layer.bias is None else layer.bias[:, None, None]
        measured = float((taken[0] - bias).square().sum()) / len(x)
        assert aware.energy(name) == pytest.approx(measured, rel=1e-4)
        for one in aware.layer(name).families:
            ranks, _ = FAMILIES[one].table(aware.spectrum(name, one))
            least = aware.error(name, FAMILIES[one].choice(*map(int, ranks[0])))
            assert 0 < least <= aware.energy(name)


def test_a_calibration_is_of_one_network(net, calibration, x):
    other = copy.deepcopy(net.model)
    with torch.no_grad():
        other.conv1.weight[0, 0, 0, 0] += 1
    with pytest.raises(DataError, match="of another network, or of other weights"):
        Network(other, x[:1]).calibrated(calibration)
    with pytest.raises(DataError, match="the calibration is a Tensor"):
        net.calibrated(x)


@pytest.mark.parametrize(
    "wrong", [lambda x: x[0], lambda x: x[:, :1], lambda x: x[:0], lambda x: (x, x), lambda x: "x"]
)
def test_images_that_do_not_fit_are_named(net, calibration, x, wrong):
    plan = net.budget(macs=0.5)
    for take in (
        net.calibrate,
        net.alpha,
        lambda images: net.calibrated(calibration, refit=images),
        lambda images: net.build(plan, refit=images),
        lambda images: net.build(plan, batchnorm=images),
    ):
        with pytest.raises(DataError, match="images"):
            take(wrong(x))


def test_infinite_images_are_refused_and_arrays_are_taken(net, x):
    with pytest.raises(DataError, match="finite"):
        net.calibrate(x / 0)
    assert net.calibrate(x.numpy()).fingerprint == net.calibrate(x).fingerprint


def test_attacks_that_cannot_say_their_settings_are_never_taken_for_each_other(net, x):
    class Brighter:
        def __init__(self, by):
            self.by = by

        def bind(self, _model):
            return lambda images, _labels: (images + self.by).clamp(0, 1)

    found = [net.alpha(x, None, Brighter(by), n=12) for by in (0.0, 0.3, 0.6)]
    assert not torch.equal(found[0]["conv1"], found[1]["conv1"])
    assert not torch.equal(found[1]["conv1"], found[2]["conv1"])
    labels = {net.calibrate(x, attack=Brighter(0.1)).fingerprint for _ in range(2)}
    assert len(labels) == 2


def test_calibrating_again_begins_from_the_plain_network(net, x):
    few = net.calibrated(
        Calibration({"conv1": net.calibrate(x)["conv1"]}, 40, net.calibrate(x).settings, "0" * 64)
    )
    assert few.layer("layer1.0.conv1").families == ()
    again = few.calibrated(net.calibrate(x))
    assert again.layer("layer1.0.conv1").families == ("gdws", "tucker2", "svd")


def test_a_wrong_alpha_names_its_layer(net):
    with pytest.raises(BudgetError, match=r"layer1\.0\.conv1: alpha has shape"):
        net.lego(0.1, {"layer1.0.conv1": torch.ones(3)})
    with pytest.raises(BudgetError, match=r"layer1\.0\.conv1: alpha has shape"):
        net.weighted({"layer1.0.conv1": torch.ones(3)})


def test_dilation_and_padding_are_part_of_the_fingerprint():
    def made(**geometry):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3, **geometry), nn.Flatten(), nn.LazyLinear(2))

    example = torch.zeros(1, 3, 8, 8)
    prints = set()
    for geometry in (
        {"padding": 1},
        {"padding": 2, "dilation": 2},
        {"padding": 1, "padding_mode": "reflect"},
    ):
        model = made(**geometry)
        model(example)
        prints.add(Network(model, example).fingerprint)
    assert len(prints) == 3


def test_a_refitted_network_is_the_plain_one_but_for_what_it_builds(net, x, images):
    fitted = net.refitted(x)
    plan, same = fitted.budget(macs=0.5), net.budget(macs=0.5)
    assert dict(plan) == dict(same)
    assert plan.hash != same.hash
    assert str(plan) == f"refitted: {same}"
    assert fitted.summary(plan).error == net.summary(same).error
    assert torch.equal(fitted.build(plan)(images), net.build(same, refit=x)(images))
    assert fitted.label == net.refitted(x.numpy()).label != net.refitted(x[:20]).label
    for mine, other, words in (
        (net, plan, "is refitted on images"),
        (fitted, same, "weights alone"),
    ):
        with pytest.raises(PlanError, match=words):
            mine.build(other)
    aware = net.calibrated(net.calibrate(x))
    again = aware.refitted(x)
    assert again.summary(plan).error == net.summary(same).error
    assert again.layer("fc").families == ("svd",)
