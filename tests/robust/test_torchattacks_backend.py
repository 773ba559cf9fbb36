"""Attack functions from plain numbers; test_autoattack has their equality with torchattacks."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust import torchattacks_backend as backend
from gdws_explorer.robust.data_checks import is_correct

MAKERS = {
    "fgsm": lambda model: backend.fgsm(model, 0.1),
    "trades": lambda model: backend.trades(model, 0.1, 0.05, 2),
    "pgd": lambda model: backend.pgd(model, "linf", 0.1, 2, 0.05, True, 1),
    "pgd-l2": lambda model: backend.pgd(model, "l2", 0.1, 2, 0.05, True, 3),
    "apgd": lambda model: backend.apgd(model, "linf", 0.1, 3, 1, "ce", False),
    "apgd-t": lambda model: backend.apgd(model, "linf", 0.1, 3, 1, "ce", True),
    "fab": lambda model: backend.fab(model, "linf", 0.1, 3, 1),
    "square": lambda model: backend.square(model, "linf", 0.1, 5, 1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_attacked_images_stay_in_the_ball_and_in_range(net, data, name):
    x, y = data
    attacked = MAKERS[name](net.eval())(x, y)
    distance = (attacked - x).flatten(1)
    size = distance.norm(dim=1) if name == "pgd-l2" else distance.abs().amax(1)
    assert float(size.max()) <= 0.1 + 1e-5
    assert float(attacked.min()) >= 0
    assert float(attacked.max()) <= 1


@pytest.mark.parametrize("name", ["pgd-l2", "apgd", "apgd-t", "fab", "square"])
def test_the_model_stays_as_it_was(net, data, trace, same, name):
    torch.manual_seed(0)
    before = trace(net)
    MAKERS[name](net)(*data)
    after = trace(net)
    assert same(before[:4], after[:4])


def test_the_worst_case_keeps_what_fooled_the_network():
    class Bright(nn.Module):
        def forward(self, x):
            bright = x.flatten(1).mean(1)
            return torch.stack([0.5 - bright, bright - 0.5], 1)

    calls = []

    def brighten(by):
        def attack(x, y):
            calls.append(len(x))
            return x + by

        return attack

    x = torch.tensor([0.1, 0.3, 0.45])[:, None, None, None].expand(3, 1, 2, 2)
    y = torch.zeros(3, dtype=torch.int64)
    attack = backend.worst_case(Bright(), [brighten(0.1), brighten(0.3), brighten(0.0)])
    attacked = attack(x, y)
    assert calls == [3, 2, 1]
    assert is_correct(Bright()(attacked), y).tolist() == [True, False, False]
    torch.testing.assert_close(attacked[:, 0, 0, 0], torch.tensor([0.1, 0.6, 0.55]))


def test_too_few_classes_are_named(data):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x, y = data[0], data[1] % 3
    with pytest.raises(DataError, match="APGD-T needs scores of at least 4 classes"):
        MAKERS["apgd-t"](model)(x, y)
    with pytest.raises(DataError, match="AutoAttack needs scores of at least 4 classes"):
        backend.ensemble(model, "linf", [])(x, y)


def test_sizes_that_square_cannot_cover_are_refused(net):
    attack = backend.square(net.eval(), "l2", 0.5, 5, 1)
    with pytest.raises(DataError, match="the images are 8×16"):
        attack(torch.rand(2, 1, 8, 16), torch.zeros(2, dtype=torch.int64))
