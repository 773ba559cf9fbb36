"""The refit of residual networks: no way of writing a sum may lead it astray."""

import random

import pytest
import torch
import torch.nn.functional as F
from generated_stages import Draw, residual
from torch import nn

from gdws_explorer.errors import BudgetError, ModelError
from gdws_explorer.network.calibration.refit import refit
from gdws_explorer.network.calibration.residual_sums import find_sums
from gdws_explorer.network.network import Network


class Residual(nn.Module):
    def __init__(self, seed, inplace=False, turned=False):
        super().__init__()
        draw = Draw(seed)
        channels = draw.choice([6, 8, 12])
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(residual(draw, channels, inplace, turned) for _ in range(draw.randint(1, 4)))
        )
        self.head = nn.Linear(channels, 6)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


def made(seed, **written):
    """A network whose BatchNorms have seen images, and images of different brightness."""
    torch.manual_seed(seed)
    model = Residual(seed, **written)
    images = torch.rand(256, 3, 10, 10) * torch.rand(256, 3, 1, 1)
    with torch.no_grad():
        for _ in range(15):
            model(images[torch.randperm(256)[:64]])
    return model.eval(), images


def planned(model, images, seed):
    draw = random.Random(seed + 1)
    net = Network(model, images[:1])
    families = draw.choice([["gdws"], ["tucker2"], ["svd"], None])
    try:
        return net.build(net.budget(macs=draw.choice([0.4, 0.6, 0.8]), families=families))
    except BudgetError:
        pytest.skip("this network has no plan within the budget")


def lost(model, built, x):
    with torch.no_grad():
        expected = model(x)
        error = (built(x) - expected).square().mean()
        return float(error / (expected - expected.mean(0)).square().mean())


def never_worse(seed):
    model, images = made(seed)
    built = planned(model, images, seed)
    default = refit(model, built, images[:96])
    without = refit(model, built, images[:96], feedback=False)
    assert lost(model, default, images[:96]) <= 1.01 * lost(model, without, images[:96])
    report = default.refit_report
    assert report.lost == pytest.approx(lost(model, default, images[:96]), rel=1e-3)
    assert report.lost_otherwise is None or report.lost <= report.lost_otherwise


def alike(seed):
    model, images = made(seed)
    built = planned(model, images, seed)
    fitted = refit(model, built, images[:96], feedback=True)
    for written in ({"inplace": True}, {"turned": True}, {"inplace": True, "turned": True}):
        other, _ = made(seed, **written)
        same = refit(other, planned(other, images, seed), images[:96], feedback=True)
        torch.testing.assert_close(same(images), fitted(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_refit_is_never_worse_than_without_feedback(seed):
    never_worse(seed)


@pytest.mark.parametrize("seed", range(100, 103))
def test_functions_written_two_ways_are_refitted_alike(seed):
    alike(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 20))
def test_many_residual_networks(seed):
    never_worse(seed)
    alike(seed)


def test_one_image_has_no_variance_and_is_refitted_all_the_same():
    model, images = made(0)
    fitted = refit(model, planned(model, images, 0), images[:1])
    assert fitted.refit_report.lost >= 0


# -- which sums can be solved for -----------------------------------------------------------------


def obstacles(forward, layers=("one",)):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = (nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(2))
            self.norm, self.pool = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return forward(self, x)

    net = Net().eval()
    convs = {name: net.get_submodule(name) for name in layers}
    sums = find_sums(net, torch.rand(1, 4, 6, 6), convs)
    return set(sums.scales), dict(sums.obstacles)


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: x + net.one(x),
        lambda net, x: net.one(x) + x,
        lambda net, x: torch.add(x, net.norm(net.one(x))),
        lambda net, x: net.norm(net.one(x)).add_(x),
        lambda net, x: F.relu_(net.one(x).add_(x)),  # the tensor is the sum by then
        lambda net, x: (lambda y: x[:, :, : y.shape[2]] + y if y.dim() == 4 else y)(net.one(x)),
    ],
)
def test_a_plain_sum_is_solved_for(forward):
    assert obstacles(forward) == ({"one"}, {})


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda net, x: x + F.relu(net.one(x), inplace=True), "changed in place"),
        (lambda net, x: x + F.relu_(net.norm(net.one(x))), "changed in place"),
        (lambda net, x: (lambda y: y + net.two(y))(net.one(x)), "also read"),
        (lambda net, x: (lambda y: (y + x) * y.mean())(net.one(x)), "also read"),
        (lambda net, x: (lambda y: net.norm(y) + y)(net.one(x)), "also read"),
        (lambda net, x: x + net.one(x.mean((2, 3), keepdim=True)), "different shapes"),
        (lambda net, x: net.one(x + net.one(x)), "more than once"),
    ],
)
def test_other_sums_are_named(forward, reason):
    found, why = obstacles(forward)
    assert found == set()
    assert reason in why["one"]


def test_of_two_branches_the_one_with_more_weights_is_solved_for():
    for forward in (
        lambda net, x: net.one(x) + net.pool(x),
        lambda net, x: net.pool(x) + net.one(x),
        lambda net, x: (lambda y, z: z + y)(net.pool(x), net.one(x)),
    ):
        assert obstacles(forward, ("one", "pool"))[0] == {"one"}


def test_two_branches_of_equal_layers():
    layers = ("one", "two")
    assert obstacles(lambda net, x: net.one(x) + net.two(x), layers)[0] == {"two"}


def test_a_sum_after_an_activation_is_no_sum_of_the_layer():
    assert obstacles(lambda net, x: x + F.relu(net.one(x))) == (set(), {})


class EarlyExit(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (3, 8, 8, 8)
        self.first, self.one, self.two, self.last = (nn.Conv2d(i, 8, 3, padding=1) for i in widths)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        easy = bool(x.mean() > 0.5)
        x = F.relu(self.one(F.relu(self.first(x))))
        x = x if easy else F.relu(self.two(x))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


def test_batches_that_take_different_ways_are_refused_by_name():
    model = EarlyExit().eval()
    dark, bright = torch.rand(64, 3, 10, 10) / 2, (1 + torch.rand(64, 3, 10, 10)) / 2
    net = Network(model, dark[:1])
    plan = net.budget(macs=0.7, families=["gdws"])
    with pytest.raises(ModelError, match="'last' and 'two'"):
        net.build(plan, refit=torch.cat([bright, dark]))
    assert net.build(plan, refit=dark) is not None
