"""A training's state: one step, the average, and everything captured and restored."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gdws_explorer.errors import ModelError
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_state import TrainState, without_prefix

RECIPE = Recipe(lr=0.1, momentum=0.0, weight_decay=0.0, average=0.9)


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def test_a_step_follows_the_gradient(data):
    x, y = data
    model = linear()
    state = TrainState(model, RECIPE, None, None)
    loss, correct = state.loss(x, y)
    assert torch.equal(loss, F.cross_entropy(model(x), y))
    assert correct == int((model(x).argmax(1) == y).sum())
    state.step(loss, lr=0.5)
    (slope,) = torch.autograd.grad(F.cross_entropy(model(x), y), model[1].weight)
    torch.testing.assert_close(state.network[1].weight, model[1].weight - 0.5 * slope)
    # In the first step the average has the decay 2/11 and not 0.9.
    mixed = torch.lerp(model[1].weight, state.network[1].weight, 1 - 2 / 11)
    torch.testing.assert_close(state.average[1].weight, mixed)
    assert state.result is state.average


def test_a_penalty_is_part_of_the_loss(data):
    state = TrainState(linear(), RECIPE, lambda model: model[1].weight.square().sum(), None)
    plain = TrainState(linear(), RECIPE, None, None)
    extra = state.network[1].weight.square().sum()
    torch.testing.assert_close(state.loss(*data)[0], plain.loss(*data)[0] + extra)


def test_the_state_comes_back(net, data):
    x, y = data
    recipe = Recipe("pgd", eps=0.1, steps=1, lr=0.05, average=0.9)
    state = TrainState(net, recipe, None, None)

    def step():
        with state.random.drawing():
            loss, _ = state.loss(x, y)
        state.step(loss, 0.05)

    step()
    saved = state.capture()
    step()
    first = state.capture()
    state.restore(saved)
    step()
    second = state.capture()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert {name.split(".")[0] for name in first} == {
        "network", "mean", "momentum", "steps", "random",
    }  # fmt: skip


def test_more_attack_steps(net):
    state = TrainState(net, Recipe("fast", eps=0.1), None, None)
    state.set_attack_steps(3)
    assert state.recipe.training_attack.steps == 3


def test_what_cannot_be_trained(net):
    with pytest.raises(ModelError, match="nothing to train"):
        TrainState(net.requires_grad_(False), RECIPE, None, None)


def test_weights_that_are_not_finite():
    state = TrainState(linear(), RECIPE, None, None)
    assert state.is_finite()
    with torch.no_grad():
        state.network[1].bias[0] = float("inf")
    assert not state.is_finite()


def test_names_without_their_prefix():
    tensors = {"a.x": torch.zeros(1), "b.x": torch.ones(1), "a.y.z": torch.ones(2)}
    assert without_prefix(tensors, "a.").keys() == {"x", "y.z"}
