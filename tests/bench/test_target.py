"""Targets: one rule for gx.explore, gx.sweep and gx.search."""

import pytest
import torch
from torch import nn

from gdws_explorer.bench.target import DEFAULT_ATTACK, calibration_images, resolve_target
from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attacks import FGSM, PGD
from gdws_explorer.robust.sequence import AttackSequence


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 4))


def test_a_bench_brings_everything(bench):
    for given in (bench, "digits"):
        found = resolve_target(given)
        assert found.network.fingerprint == Network(bench.model, bench.example).fingerprint
        assert torch.equal(found.data[0], bench.data[0])
        assert torch.equal(found.calibration[0], bench.train_data[0])
        assert (found.attack, found.title) == (bench.attack, bench.title)
        assert found.bench.name == "digits"


def test_what_is_given_replaces_what_the_bench_brings(bench, data):
    found = resolve_target(bench, data=data, calibration=data[0], attack=FGSM(0.1), title="mine")
    assert torch.equal(found.data[0], data[0])
    assert found.calibration[1] is None
    assert (found.attack, found.title) == (FGSM(0.1), "mine")


def test_a_module_and_its_network_are_the_same_target(model, data):
    by_module = resolve_target(model, data=data)
    by_network = resolve_target(Network(model, data[0][:1]), data=data)
    assert by_module.network.fingerprint == by_network.network.fingerprint
    assert by_module.attack == by_network.attack == PGD(8 / 255)
    assert by_module.title == by_network.title == "Sequential"
    assert by_module.bench is by_network.bench is None


@pytest.mark.parametrize(
    ("given", "attack"),
    [
        ({}, PGD(8 / 255)),
        ({"attack": DEFAULT_ATTACK}, PGD(8 / 255)),
        ({"eps": 0.2}, PGD(0.2)),
        ({"attack": None}, None),
        ({"attack": None, "eps": 0.2}, None),
        ({"attack": FGSM(0.1), "eps": 0.2}, FGSM(0.1)),
        ({"attack": [FGSM(0.1), PGD(0.1)]}, AttackSequence((FGSM(0.1), PGD(0.1)))),
    ],
)
def test_the_attack(model, data, given, attack):
    assert resolve_target(model, data=data, **given).attack == attack


def test_an_example_is_enough_without_images(model):
    found = resolve_target(model, example=torch.zeros(1, 1, 8, 8))
    assert (found.data, found.calibration, found.attack) == (None, None, None)


@pytest.mark.parametrize(
    ("target", "given", "error", "says"),
    [
        (3, {}, ModelError, "the target is a int; expected a bench"),
        ("mnist", {}, DataError, "mnist"),
        (nn.Conv2d(1, 2, 3), {}, DataError, r"give data=\(images, labels\)"),
        ("digits", {"attack": "pgd"}, DataError, "expected an attack, None, or 'usual'"),
    ],
)
def test_mistakes_are_named(target, given, error, says):
    with pytest.raises(error, match=says):
        resolve_target(target, **given)


def test_skip_belongs_to_the_network(model, data):
    with pytest.raises(ModelError, match="skip= is given with a Network"):
        resolve_target(Network(model, data[0][:1]), data=data, skip=("0",))


def test_calibration_images_with_labels_or_without(data):
    images, labels = calibration_images(data)
    assert torch.equal(labels, data[1])
    assert calibration_images(data[0])[1] is None
    assert torch.equal(calibration_images(data[0])[0], images)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        calibration_images(255 * data[0])
    assert torch.equal(calibration_images(data[0].numpy().astype(">f8"))[0], images.double())
    for wrong in (5, None, [images[0]], list(images[:3])):
        with pytest.raises(DataError, match="expected"):
            calibration_images(wrong)
