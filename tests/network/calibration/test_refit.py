"""Refitting: least squares against a plain solution, and what it does to a whole network."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import Cancelled, DataError, ModelError
from gdws_explorer.factorize import gdws, svd, tucker
from gdws_explorer.network.calibration.lockstep import LockstepForward
from gdws_explorer.network.calibration.refit import refit
from gdws_explorer.network.surgery import with_layers


class Net(nn.Module):
    """A residual block between two convolutions, one of them with a bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)), inplace=True)
        x = F.relu(x + self.inner(x))
        return self.head(F.relu(self.second(x)).mean((2, 3)))


LAYERS = ("inner", "second")


@pytest.fixture
def dense():
    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        model(torch.rand(32, 3, 10, 10))
    return model.eval()


@pytest.fixture
def x():
    return torch.rand(24, 3, 10, 10, generator=torch.Generator().manual_seed(1))


def gdws_of(model, G=14):
    def make(name, module):
        spectrum = gdws.spectrum(module) if name in LAYERS else None
        return spectrum and spectrum.conv(spectrum.mego(G))

    return with_layers(model, make)


def tucker_of(model):
    return with_layers(
        model, lambda name, m: tucker.spectrum(m).conv(4, 5) if name in LAYERS else None
    )


def outputs_at(model, name, x, *, inputs=False):
    seen = []
    hook = model.get_submodule(name).register_forward_hook(
        lambda m, i, out: seen.append(i[0] if inputs else out)
    )
    with torch.no_grad():
        model(x)
    hook.remove()
    return seen[0]


def distance(a, b, x):
    with torch.no_grad():
        return float((a(x) - b(x)).square().mean())


def svd_of(model):
    return with_layers(model, lambda name, m: svd.spectrum(m).conv(4) if name in LAYERS else None)


def spatial_of(model):
    return with_layers(
        model, lambda name, m: svd.spatial_spectrum(m).conv(8) if name in LAYERS else None
    )


@pytest.mark.parametrize("make", [gdws_of, tucker_of, svd_of, spatial_of])
@pytest.mark.parametrize("feedback", [False, True])
def test_a_refitted_network_is_nearer_to_the_dense_one(dense, x, make, feedback):
    small = make(dense)
    fitted = refit(dense, small, x, feedback=feedback)
    fresh = torch.rand(40, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    assert distance(dense, fitted, fresh) < 0.5 * distance(dense, small, fresh)
    assert all(p.requires_grad for p in fitted.parameters())
    assert not fitted.training
    assert {n: t.shape for n, t in fitted.state_dict().items()} == {
        n: t.shape for n, t in small.state_dict().items()
    }


def test_the_pointwise_weights_are_plain_ridge_least_squares(dense, x):
    """The first layer's by torch's own least squares; the second's from the first's new outputs."""
    small, ridge = gdws_of(dense), 1e-9
    fitted = refit(dense, small, x, ridge=ridge, batch_size=7)
    for name in LAYERS:
        before = outputs_at(fitted, name, x, inputs=True)
        layer = fitted.get_submodule(name)
        inside = layer.depthwise(before.index_select(1, layer.index)).detach()
        features = inside.transpose(0, 1).flatten(1).T.double()
        wanted = outputs_at(dense, name, x).transpose(0, 1).flatten(1).T.double()
        if layer.pointwise.bias is not None:
            features = torch.cat([features, torch.ones(len(features), 1)], 1)
        best = torch.linalg.lstsq(features, wanted).solution
        now = layer.pointwise.weight.detach()[:, :, 0, 0].T.double()
        torch.testing.assert_close(now, best[: now.shape[0]], rtol=1e-3, atol=1e-4)
        if layer.pointwise.bias is not None:
            bias = layer.pointwise.bias.detach().double()
            torch.testing.assert_close(bias, best[-1], rtol=1e-3, atol=1e-4)


def test_a_great_ridge_changes_nothing(dense, x):
    small = gdws_of(dense)
    fitted = refit(dense, small, x, ridge=1e12)
    torch.testing.assert_close(fitted.inner.pointwise.weight, small.inner.pointwise.weight)


def test_an_exact_network_stays_exact(dense, x):
    full = with_layers(
        dense,
        lambda n, m: gdws.spectrum(m).conv(torch.full((8,), 8)) if n == "inner" else None,
    )
    for feedback in (False, True):
        fitted = refit(dense, full, x, feedback=feedback)
        assert distance(dense, fitted, x) < 1e-9


def test_moves_under_attack_count(dense, x):
    moved = (x + 0.1 * torch.sign(torch.randn(x.shape, generator=torch.Generator()))).clamp(0, 1)

    def lost(model):
        with torch.no_grad():
            return float(((model(moved) - model(x)) - (dense(moved) - dense(x))).square().mean())

    small = gdws_of(dense, 9)
    plain = refit(dense, small, x)
    careful = refit(dense, small, x, attacked=moved, emphasis=100.0)
    assert lost(careful) < lost(plain)


def test_the_models_stay_as_they_were(dense, x):
    small = gdws_of(dense).train()
    before = {n: t.clone() for n, t in small.state_dict().items()}
    threads = threading.active_count()
    refit(dense, small, x, attacked=x)
    assert small.training
    assert all(torch.equal(before[n], t) for n, t in small.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.modules())
    assert threading.active_count() == threads


def test_a_layer_called_twice_is_solved_for_with_all_it_saw():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(F.relu(self.conv(x))).mean((2, 3))

    torch.manual_seed(0)
    dense, x = Twice().eval(), torch.rand(16, 4, 6, 6)
    spectrum = gdws.spectrum(dense.conv)
    small = with_layers(dense, lambda n, m: spectrum.conv(spectrum.mego(8)) if n else None)
    steps = []
    fitted = refit(dense, small, x, progress=steps.append)
    assert distance(dense, fitted, x) < distance(dense, small, x)
    assert steps[-1] == 1.0


def test_errors_and_cancel_leave_no_thread_behind(dense, x):
    threads = threading.active_count()
    small = gdws_of(dense)
    with pytest.raises(Cancelled):
        refit(dense, small, x, cancel=lambda: True)
    with pytest.raises(RuntimeError):
        refit(dense, small, x[:, :2])  # two channels for three, found inside a pass
    with pytest.raises(DataError, match="same shape"):
        refit(dense, small, x, attacked=x[:3])
    with pytest.raises(ModelError, match="inner"):
        refit(nn.Sequential(nn.Conv2d(3, 3, 1)), small, x)
    assert threading.active_count() == threads


def test_a_march_shows_every_batch_at_every_stop(dense, x):
    batches = list(x.split(10))
    with LockstepForward(dense, batches, {"norm": dense.norm}, {"second": dense.second}) as march:
        names = []
        while (here := march.step()) is not None:
            names.append(here[0])
            assert [len(part) for part in here[1]] == [10, 10, 4]
    assert names == ["norm", "second"]
    assert march.step() is None


# -- sums: residual networks -------------------------------------------------------------------


class Residual(nn.Module):
    """Shortcuts as they come: identity, in place, and made after the branch they are added to."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.one = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 8, 3, padding=1)
        self.three = nn.Conv2d(8, 8, 3, padding=1)
        self.short = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.first(x)
        x = F.relu(self.norm(self.one(x)) + x)
        out = self.two(x)
        out += x
        x = F.relu(out)
        out = self.three(F.relu(x))
        return (self.short(x) + out).mean((2, 3))


@pytest.fixture
def residual():
    torch.manual_seed(0)
    model = Residual()
    with torch.no_grad():
        model(torch.rand(32, 3, 10, 10))
    return model.eval()


def test_a_march_stops_at_sums_too(residual, x):
    convs = {name: getattr(residual, name) for name in ("one", "two", "three")}
    with LockstepForward(residual, [x], convs, {}, convs) as march:
        names, norms = [], []
        while (here := march.step()) is not None:
            names.append(here[0])
            norms.append(march.norm)
    assert names == ["one", "+one", "two", "+two", "three", "+three"]
    assert norms[1] is residual.norm
    assert [norms[i] for i in (0, 2, 3, 4, 5)] == [None] * 5


def test_a_layer_that_changes_before_its_sum_counts_there(residual, x):
    changed = copy.deepcopy(residual)
    for name in ("one", "two"):
        torch.nn.init.zeros_(getattr(changed, name).weight)
    seen = []
    convs = {name: getattr(residual, name) for name in ("one", "two")}
    stops = {**convs, "three": residual.three}
    with LockstepForward(residual, [x], stops, {}, convs) as march, torch.no_grad():
        while (here := march.step()) is not None:
            if here[0] in ("+one", "+two"):
                convs[here[0][1:]].weight.zero_()
            if here[0] == "three":
                seen.append(here[1][0].clone())
    torch.testing.assert_close(seen[0], outputs_at(changed, "three", x, inputs=True))


def test_feedback_makes_up_for_what_the_shortcut_lost(residual, x):
    def make(name, module):
        if name not in ("first", "one", "two", "three"):
            return None
        spectrum = gdws.spectrum(module)
        return spectrum.conv(spectrum.mego(7 if name == "first" else 30))

    small = with_layers(residual, make)
    fresh = torch.rand(40, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    lost = [
        distance(residual, refit(residual, small, x, feedback=on), fresh) for on in (False, True)
    ]
    assert lost[1] < 0.7 * lost[0]
