import pytest
import torch
from torch import nn

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.robust import PGD, evaluate
from gdws_explorer.robust.normalized import Normalized

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)


@pytest.fixture
def inner():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(),
            nn.Linear(8 * 36, 4),
        ).eval()  # fmt: skip


def test_it_normalises(inner):
    x = torch.rand(5, 3, 8, 8)
    wanted = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert torch.allclose(Normalized(inner, MEAN, STD)(x), inner(wanted), atol=1e-6)
    assert torch.allclose(Normalized(inner, 0.5, 0.5)(x), inner(2 * x - 1), atol=1e-6)
    tensors = Normalized(inner, torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD))
    assert torch.equal(tensors(x), Normalized(inner, MEAN, STD)(x))


def test_it_is_part_of_the_model(inner):
    model = Normalized(inner.double(), MEAN, STD)
    assert model.mean.dtype == torch.float64
    assert {"mean", "std", "model.0.weight"} <= set(model.state_dict())
    assert not list(model.parameters(recurse=False))
    assert not model.training
    assert Normalized(inner.train(), MEAN, STD).training


def test_networks_see_through_it(inner):
    x = torch.rand(1, 3, 8, 8)
    plain, net = Network(inner, x), Network(Normalized(inner, MEAN, STD), x)
    assert net.macs == plain.macs
    assert net.params == plain.params
    assert net.names == tuple(f"model.{name}" for name in plain.names)
    other = Network(Normalized(inner, MEAN, (0.25, 0.25, 0.25)), x)
    assert len({plain.fingerprint, net.fingerprint, other.fingerprint}) == 3
    small = net.build(net.budget(macs=0.6))
    assert isinstance(small, Normalized)
    assert torch.equal(small.mean, net.model.mean)
    assert small(x).shape == (1, 4)


def test_attacks_stay_within_the_images(inner):
    data = (torch.rand(12, 3, 8, 8), torch.arange(12) % 4)
    report = evaluate(Normalized(inner, MEAN, STD), data, PGD(8 / 255, steps=3))
    assert report.n == 12
    assert report.robust <= report.clean


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        (MEAN, STD[:2], "3 numbers in mean and 2 in std"),
        (MEAN, (0.2, 0, 0.2), "a std is 0; expected numbers above 0"),
        ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7), "a mean is 125.3; .* divide .* by 255"),
        (float("nan"), 1, "mean is nan; expected one finite number"),
        ("imagenet", STD, "mean is 'imagenet'"),
        (MEAN, None, "std is None"),
        ((), (), r"mean is \(\)"),
    ],
)
def test_what_is_no_normalisation(inner, mean, std, words):
    with pytest.raises(ModelError, match=words):
        Normalized(inner, mean, std)


def test_other_mistakes(inner):
    with pytest.raises(ModelError, match=r"the model is dict; expected a torch.nn.Module"):
        Normalized({}, MEAN, STD)
    with pytest.raises(DataError, match=r"shape \(2, 1, 8, 8\); expected \(N, 3, H, W\)"):
        Normalized(inner, MEAN, STD)(torch.rand(2, 1, 8, 8))
