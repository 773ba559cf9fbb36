import threading

import pytest
import torch
from torch import nn

from gdws_explorer.errors import Cancelled, DataError, ModelError
from gdws_explorer.robust import PGD, evaluate
from gdws_explorer.training import train

SHORT = {"epochs": 4, "lr": 0.05, "batch_size": 16}


def test_short_training_improves_and_leaves_the_model(net, data, trace, same):
    before = trace(net)
    plain = train(net, data, **SHORT)
    assert same(before, trace(net))
    assert evaluate(plain, data).clean > evaluate(net, data).clean + 0.2
    assert plain is not net
    assert not any(module.training for module in plain.modules())
    assert all(each.grad is None for each in plain.parameters())


def test_one_short_epoch_lowers_the_loss(net, data):
    def loss(model):
        with torch.no_grad():
            return float(nn.functional.cross_entropy(model.eval()(data[0]), data[1]))

    once = train(net, data, epochs=1, lr=0.05, batch_size=8)
    assert loss(once) < loss(net)


def test_training_against_an_attack_helps_against_it(net, data):
    attack = PGD(0.15, 5)
    options = {"epochs": 15, "lr": 0.05, "batch_size": 16}
    robust = train(net, data, attack, clean_weight=0.3, **options)
    plain = train(net, data, **options)
    assert evaluate(robust, data, attack).robust > evaluate(plain, data, attack).robust + 0.1


def test_adversarial_training_leaves_the_model(net, data, trace, same):
    before = trace(net)
    train(net, data, PGD(0.1, 2), average=0.9, clean_weight=0.5, **SHORT)
    assert same(before, trace(net))


def test_frozen_parts_stay_frozen(net, data):
    trained = train(net, data, PGD(0.1, 2), **SHORT)
    assert torch.equal(trained[1].running_mean, net[1].running_mean)
    assert torch.equal(trained[4].weight, net[4].weight)
    assert not torch.equal(trained[5].running_mean, net[5].running_mean)
    assert not torch.equal(trained[0].weight, net[0].weight)


def test_equal_seed_equal_weights(net, data):
    def weights(seed, **more):
        torch.manual_seed(torch.randint(1000, ()).item())
        trained = train(net, data, PGD(0.1, 2), seed=seed, **SHORT, **more)
        return torch.cat([each.flatten() for each in trained.state_dict().values()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert not torch.equal(weights(1), weights(1, average=0.9))
    assert not torch.equal(weights(1), weights(1, augment=lambda x: x.flip(3)))


def test_a_device_by_its_name(net, data):
    one, other = (train(net, data, device=where, **SHORT) for where in (None, "cpu"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ModelError, match="'tpu' cannot be used"):
        train(net, data, device="tpu", **SHORT)


def test_cancel_stops_and_leaves_the_model(net, data, trace, same):
    before = trace(net)
    stop = threading.Event()
    told = []

    def progress(fraction, loss):
        told.append(fraction)
        if fraction >= 0.25:
            stop.set()

    with pytest.raises(Cancelled):
        train(net, data, PGD(0.1, 2), progress=progress, cancel=stop, **SHORT)
    assert told == [step / 12 for step in (1, 2, 3)]
    assert same(before, trace(net))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"lr": 0.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"clean_weight": 1.5}, "clean_weight"),
        ({"average": 1.0}, "average"),
        ({"attack": "PGD"}, r"expected gx\.FGSM"),
    ],
)
def test_bad_options_are_named(net, data, options, words):
    with pytest.raises(DataError, match=words):
        train(net, data, **{**SHORT, **options})


def test_bad_models_and_data_are_named(net, data):
    x, y = data
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
        train("net", data, **SHORT)
    with pytest.raises(ModelError, match="nothing to train"):
        train(net.requires_grad_(False), data, **SHORT)
    with pytest.raises(DataError, match=r"expected \[0, 1\]"):
        train(net, (2 * x, y), **SHORT)
    with pytest.raises(DataError, match="4 classes"):
        train(net.requires_grad_(True), (x, y + 1), **SHORT)
