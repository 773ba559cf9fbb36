"""A network and images of one's own: put together, checked and described."""

import numpy as np
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.bench.custom import STATISTICS, load_custom, numbers


def test_what_was_found(bench):
    told = []
    own = load_custom(bench.model, bench.data, n=200, progress=told.append)
    assert dict(own.findings)["layers"] == "7, 7 of them can be approximated"
    assert dict(own.findings)["labels"] == "0 to 9; the network has 10 classes"
    assert own.classes == 10
    assert len(own.data[1]) == 200
    assert len(own.calibration[1]) == len(bench.data[1]) - 200
    assert told == sorted(told)
    assert told[-1] == 1
    same = gx.evaluate(bench.model, (own.data[0][:100], own.data[1][:100]))
    assert own.clean_correct == same.clean_correct
    assert f"{same.clean_correct} of the first 100 images correct" in dict(own.findings)["accuracy"]
    assert own.warning is None
    both = torch.cat([own.data[0], own.calibration[0]]).flatten(1)
    assert len(torch.unique(both, dim=0)) == len(torch.unique(bench.data[0].flatten(1), dim=0))


def test_a_network_that_guesses_is_warned_of(bench):
    torch.manual_seed(0)
    blind = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    blind(bench.example)
    own = load_custom(blind, bench.data, n=100)
    assert own.chance
    assert "normalisation" in own.warning


def test_from_files(bench, tmp_path):
    np.savez(tmp_path / "images.npz", x=(bench.data[0] * 255).byte(), y=bench.data[1])
    torch.save({"state_dict": bench.model.state_dict()}, tmp_path / "net.pt")
    empty = type(bench.model)()
    before = [each.clone() for each in empty.parameters()]
    own = load_custom(empty, tmp_path / "images.npz", weights=tmp_path / "net.pt", n=60)
    assert own.clean_correct >= 50
    assert all(map(torch.equal, before, empty.parameters())), "the user's own stays as it is"


@pytest.mark.slow
def test_the_normalisation_goes_inside(bench):
    own = load_custom(bench.model, bench.data, normalisation=((0.3,), (0.4,)), n=50)
    assert isinstance(own.model, gx.Normalized)
    assert not isinstance(bench.model, gx.Normalized)
    named = load_custom("cifar:resnet18", _colours(), normalisation="CIFAR-10", n=10)
    assert torch.allclose(named.model.mean.flatten(), torch.tensor(STATISTICS["CIFAR-10"][0]))
    assert named.calibration is None
    assert "weights only" in dict(named.findings)["images"]


def _colours():
    return torch.rand(10, 3, 32, 32), torch.arange(10)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 1000}, "from 1 to 360"),
        ({"normalisation": "MNIST"}, "expected one of CIFAR-10"),
    ],
)
def test_what_cannot_be_is_said(bench, given, words):
    with pytest.raises(gx.DataError, match=words):
        load_custom(bench.model, bench.data, **given)


def test_images_that_do_not_fit_the_network(bench):
    with pytest.raises(gx.DataError, match="does not take images of shape"):
        load_custom("cifar:resnet18", bench.data, n=10)
    twice = gx.Normalized(bench.model, 0.5, 0.5)
    with pytest.raises(gx.DataError, match="already normalises its images"):
        load_custom(twice, bench.data, normalisation="ImageNet", n=10)


def test_it_can_be_cancelled(bench):
    with pytest.raises(gx.Cancelled):
        load_custom(bench.model, bench.data, n=10, cancel=lambda: True)


def test_numbers():
    assert numbers("0.5, 0.25 0.1") == (0.5, 0.25, 0.1)
    for text in ("", "a", "nan"):
        with pytest.raises(gx.DataError, match="expected one per channel"):
            numbers(text)
