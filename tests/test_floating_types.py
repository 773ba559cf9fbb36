"""Networks in every floating type, by their weights or their own autocast, in the whole package.

Each is compared with the same network in float32.
"""

import copy

import pytest
import torch
from torch import nn

import gdws_explorer as gx


class WithAutocast(nn.Module):
    """A float32 network that computes in its own autocast."""

    def __init__(self, net, dtype):
        super().__init__()
        self.net, self.dtype = net, dtype

    def forward(self, x):
        with torch.autocast("cpu", self.dtype):
            return self.net(x)


class ToHalf(nn.Module):
    """A network in half precision that converts its input itself."""

    def __init__(self, net):
        super().__init__()
        self.net = net.half()

    def forward(self, x):
        return self.net(x.half())


@pytest.fixture(scope="module")
def single():
    """A network in float32, made sure of its answers by a large last layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
        ).eval()  # fmt: skip
        model[1].running_mean.uniform_(-0.1, 0.1)
        model[1].running_var.uniform_(0.5, 2)
    with torch.no_grad():
        model[-1].weight.mul_(300)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def data(single):
    x = torch.rand(24, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    return x, single(x).argmax(1)


KINDS = {
    "float16": lambda net: net.half(),
    "bfloat16": lambda net: net.bfloat16(),
    "float64": lambda net: net.double(),
    "autocast float16": lambda net: WithAutocast(net, torch.float16),
    "autocast bfloat16": lambda net: WithAutocast(net, torch.bfloat16),
    "own cast": ToHalf,
}
ATTACKS = [
    gx.FGSM(0.1),
    gx.PGD(0.1, 5),
    gx.PGD(0.8, 5, norm="l2"),
    gx.PGD(0.1, 3, restarts=2),
    gx.APGD(0.1, 3),
    gx.APGD(0.8, 3, norm="l2"),
    gx.APGD(0.1, 1, targeted=True),
    gx.FAB(0.1, 1),
    gx.Square(0.1, 10),
]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def net(single, kind):
    return KINDS[kind](copy.deepcopy(single))


@pytest.fixture(scope="module")
def reports(single, data):
    """The reports of the float32 network."""
    return [gx.evaluate(single, data, attack) for attack in ATTACKS]


def test_every_attack_fools_what_it_fools_in_float32(reports, net, data):
    for attack, exact in zip(ATTACKS, reports, strict=True):
        ours = gx.evaluate(net, data, attack)
        assert abs(ours.clean_correct - exact.clean_correct) <= 1
        assert abs(ours.robust_correct - exact.robust_correct) <= 2, attack.label
        attacked = attack.bind(net)(*data)
        assert attacked.dtype == torch.float32


def test_more_steps_never_leave_more_images_robust(net, data):
    few, many = (gx.evaluate(net, data, gx.PGD(0.1, steps)) for steps in (10, 100))
    assert many.robust_correct <= few.robust_correct + 1


def test_transfer_takes_images_of_another_type(single, net, data):
    from gdws_explorer.robust.transfer import estimate_transfer, make_adversarial_examples

    examples = make_adversarial_examples(net, data, gx.PGD(0.1, 10))
    assert examples.examples.dtype == examples.x.dtype != torch.float16
    for model in (net, single):
        estimate = estimate_transfer(model, examples)
        assert abs(estimate.robust_correct - examples.report.robust_correct) <= 2


def relative(ours, exact):
    ours, exact = ours.double(), exact.double()
    return float((ours - exact).norm() / exact.norm())


def test_alpha_and_moments_are_those_of_the_float32_network(single, net, data):
    exact, ours = (gx.Network(model, data[0][:1], skip=()) for model in (single, net))
    alphas = exact.alpha(*data).values(), ours.alpha(*data).values()
    for theirs, mine in zip(*alphas, strict=True):
        assert relative(mine, theirs) < 0.05
    found = [n.calibrate(*data).layers.values() for n in (exact, ours)]
    for theirs, mine in zip(*found, strict=True):
        for part in ("patches", "inputs", "gradients"):
            assert relative(getattr(mine, part), getattr(theirs, part)) < 0.05
            assert getattr(mine, part).dtype == torch.float64
        assert mine.output == pytest.approx(theirs.output, rel=0.05)
    attacked = ours.calibrate(*data, gx.PGD(0.05, 3), n=8)
    assert all(torch.isfinite(m.gradients).all() for m in attacked.layers.values())


def test_refit_and_batchnorm_take_float32_images(single, net, data):
    x, _ = data
    before = x.clone()
    scores = []
    for model in (single, net):
        network = gx.Network(model, x[:1], skip=())
        plan = network.budget(macs=0.5, weights="relative")
        built = network.build(plan, refit=x, batchnorm=x)
        assert all(torch.isfinite(p).all() for p in built.parameters())
        with torch.no_grad():
            dtype = next(built.parameters()).dtype
            scores.append(built(x.to(dtype)))
        calibrated = network.calibrated(network.calibrate(x), refit=x)
        calibrated.build(calibrated.budget(macs=0.5))
    assert relative(*reversed(scores)) < 0.05
    assert torch.equal(x, before)


def test_latency_is_measured_inside_the_models_own_autocast(net, data):
    network = gx.Network(net, data[0][:1], skip=())
    assert set(network.measure_latency().layers) == set(network.names)


def test_training_under_attack_keeps_the_type(net, data):
    trained = gx.train(net.requires_grad_(True), data, gx.PGD(0.05, 2), epochs=1)
    for before, after in zip(net.parameters(), trained.parameters(), strict=True):
        assert after.dtype == before.dtype
        assert torch.isfinite(after).all()


def test_masking_checks_are_those_of_the_float32_network(single, net, data):
    reports = [
        gx.check_masking(model, data, gx.PGD(0.1, 5), n=24, queries=10) for model in (single, net)
    ]
    exact, ours = ([check.name for check in report.checks] for report in reports)
    assert exact == ours


def overflowing(single):
    """In float16 the second convolution overflows; float32 has no difficulty with it."""
    model = copy.deepcopy(single)
    model[3].weight.mul_(3e5)
    model[-1].weight.mul_(1e-6)
    return model


def test_an_overflow_in_float16_is_said_by_name(single, data):
    model = overflowing(single)
    exact, report = (gx.evaluate(each, data) for each in (model, copy.deepcopy(model).half()))
    assert exact.note is None
    assert report.note is not None
    assert "3 has infinite" in report.note
    x = data[0]
    half = gx.Network(copy.deepcopy(model).half(), x[:1], skip=())
    for moments in half.calibrate(x).layers.values():  # measured in float32, without overflow
        assert moments.output < float("inf")
    plan = half.budget(macs=0.5)
    with pytest.raises(gx.ModelError, match=r"^\S+ has infinite or NaN numbers in float16"):
        half.build(plan, refit=x)
    with pytest.raises(gx.TrainingError, match=r"loss became .*: 3 has infinite.*float16"):
        gx.train(copy.deepcopy(model).half().requires_grad_(True), data, epochs=1)
    cast = WithAutocast(model, torch.float16)
    with pytest.raises(gx.ModelError, match=r"net\.3 has infinite or NaN numbers in float16"):
        gx.Network(cast, x[:1]).alpha(x)


def test_batchnorm_statistics_that_float16_cannot_hold_are_named(data):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 3))
    with torch.no_grad():
        model[0].weight.mul_(3e3)
    network = gx.Network(model.half(), data[0][:1])
    with pytest.raises(gx.ModelError, match="1 has infinite or NaN numbers in float16"):
        network.build(network.plan(), batchnorm=data[0])


def test_a_forward_that_works_in_place_leaves_the_images(single, data):
    class Darker(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = single

        def forward(self, x):
            x -= 0.1
            return self.net(x)

    x = data[0].clone()
    y = single(x - 0.1).argmax(1)
    assert gx.evaluate(Darker(), (x, y), gx.PGD(0.01, 2)).clean == 1
    network = gx.Network(Darker(), x[:1], skip=())
    assert network.names == ("net.0", "net.3", "net.7")
    assert network.alpha(x, y).keys() == {"net.0", "net.3"}
    network.calibrate(x, y, gx.PGD(0.01, 2))
    network.build(network.budget(macs=0.5), refit=x, batchnorm=x)
    assert torch.equal(x, data[0])


@pytest.mark.slow
def test_more_steps_fool_as_many_bundled_digits_in_bfloat16():
    bench = gx.load("digits-plain")
    small = copy.deepcopy(bench.model).bfloat16()
    few, many = (gx.evaluate(small, bench.data, gx.PGD(0.05, s), n=24) for s in (20, 100))
    exact = gx.evaluate(bench.model, bench.data, gx.PGD(0.05, 100), n=24)
    assert many.robust_correct <= few.robust_correct + 1
    assert abs(many.robust_correct - exact.robust_correct) <= 1
