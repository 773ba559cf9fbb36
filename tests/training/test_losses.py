import pytest
import torch
from torch.nn import functional as F

from gdws_explorer.robust import PGD
from gdws_explorer.training import Recipe
from gdws_explorer.training.losses import loss_of

EPS = 0.1


def values(net, data, recipe):
    torch.manual_seed(0)
    return loss_of(net.eval(), recipe)(*data)


def test_standard_is_cross_entropy(net, data):
    loss, scores = values(net, data, Recipe(eps=EPS, label_smoothing=0.1))
    assert torch.equal(scores, net(data[0]))
    assert torch.equal(loss, F.cross_entropy(scores, data[1], label_smoothing=0.1))


def test_attacked_is_cross_entropy_on_attacked_images(net, data):
    recipe = Recipe(method="pgd", eps=EPS, steps=3)
    loss, scores = values(net, data, recipe)
    torch.manual_seed(0)
    attacked = PGD(EPS, 3).bind(net)(*data)
    assert torch.allclose(loss, F.cross_entropy(net(attacked), data[1]))
    assert loss > F.cross_entropy(net(data[0]), data[1])
    mixed, again = values(net, data, Recipe(method="pgd", eps=EPS, steps=3, clean_weight=0.25))
    expected = 0.25 * F.cross_entropy(net(data[0]), data[1]) + 0.75 * loss
    assert torch.allclose(mixed, expected)
    assert torch.allclose(scores, again, atol=1e-6)


def test_fast_is_one_step_of_pgd(net, data):
    fast, _ = values(net, data, Recipe(method="fast", eps=EPS))
    one = PGD(EPS, 1, 1.25 * EPS)
    assert torch.equal(fast, values(net, data, Recipe(method="pgd", attack=one))[0])


def test_trades_is_eq_5(net, data):
    loss, scores = values(net, data, Recipe(method="trades", eps=EPS, steps=4, beta=2.0))
    clean = net(data[0])
    p, q = clean.softmax(1), scores.softmax(1)
    divergence = (p * (p.log() - q.log())).sum(1).mean()
    assert divergence > 0
    assert torch.allclose(loss, F.cross_entropy(clean, data[1]) + 2 * divergence, atol=1e-5)
    noise = (data[0] + EPS * torch.randn_like(data[0]).sign()).clamp(0, 1)
    r = net(noise).log_softmax(1)
    assert divergence > 1.5 * (p * (p.log() - r)).sum(1).mean()  # an attack, no noise


@pytest.mark.parametrize("method", ["pgd", "trades", "fast"])
def test_attacks_leave_modes_and_gradients(net, data, method, trace, same):
    net.zero_grad()
    before = trace(net)
    loss_of(net, Recipe(method=method, eps=EPS, steps=2))  # binding alone
    assert same(before, trace(net))
    modes, wanted = before[1], before[2]
    loss, _ = loss_of(net, Recipe(method=method, eps=EPS, steps=2))(*data)
    after = trace(net)
    assert (after[1], after[2]) == (modes, wanted)
    assert all(each is None or not each.any() for each in after[3].values())
    loss.backward()
    assert net[0].weight.grad.abs().sum() > 0
    assert not net[1].running_mean.any()  # frozen
