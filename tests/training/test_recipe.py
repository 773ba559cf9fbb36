import json
import math

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.errors import DataError
from gdws_explorer.training import Recipe
from gdws_explorer.training.recipe import learning_rates

EPS = 8 / 255


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(method="pgd", eps=EPS, steps=7, step_size=0.01, clean_weight=0.5, patience=3),
        Recipe(method="pgd", attack=gx.APGD(0.1, 3), validation=0.1),
        Recipe(method="trades", eps=EPS, beta=3, average=0.99, amp=True, augment=True),
        Recipe(method="fast", eps=EPS, schedule="cosine", label_smoothing=0.1, seed=4),
    ],
)
def test_json_gives_the_recipe_back(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "magic"}, "method is 'magic'; expected one of standard, pgd, trades, fast"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"method": "pgd"}, "method 'pgd' has no eps"),
        ({"method": "trades", "eps": 8}, "eps is 8"),
        ({"method": "fast", "eps": EPS, "steps": 0}, "steps is 0"),
        ({"method": "fast", "attack": gx.PGD(0.1)}, "expected method 'pgd'"),
        ({"method": "pgd", "attack": gx.PGD(0.1), "eps": 0.1}, "one of the two"),
        ({"validation": 0.6}, "validation is 0.6"),
        ({"validation": True}, "validation is True"),
        ({"patience": 0}, "patience is 0"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"beta": math.inf}, "beta is inf"),
        ({"amp": 1}, "amp=1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_is_named(settings, words):
    with pytest.raises(DataError, match=words):
        Recipe(**settings)


def test_unknown_settings_are_named(net, data):
    with pytest.raises(
        DataError, match="unknown setting of a recipe: learning_rate; expected some of method"
    ):
        gx.train(net, data, epochs=1, learning_rate=0.1)


def test_what_it_attacks_with():
    assert Recipe().training_attack is None
    assert Recipe().validation_attack is None
    assert Recipe(eps=EPS).validation_attack == gx.PGD(EPS, 10)
    assert Recipe(method="pgd", eps=EPS).training_attack == gx.PGD(EPS, 10)
    assert Recipe(method="pgd", eps=EPS, steps=7, step_size=0.01).training_attack == gx.PGD(
        EPS, 7, 0.01
    )
    assert Recipe(method="fast", eps=EPS).training_attack == gx.PGD(EPS, 1, 1.25 * EPS)
    assert Recipe(method="fast", eps=EPS, steps=2).training_attack == gx.PGD(EPS, 2, 0.625 * EPS)
    far = Recipe(method="pgd", attack=gx.PGD(0.5, 3, norm="l2"))
    assert far.training_attack == gx.PGD(0.5, 3, norm="l2")
    assert far.validation_attack == gx.PGD(0.5, 10, norm="l2")


@pytest.mark.parametrize("steps", [9, 60, 1320])
def test_one_cycle_is_torchs(steps):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.1, total_steps=steps + 1, pct_start=0.2, cycle_momentum=False
    )
    theirs = []
    for _ in range(steps):
        theirs.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        cycle.step()
    assert learning_rates(Recipe(lr=0.1), steps) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_the_shortest_cycles_have_rates_too(steps):  # torch's divides by zero at 4
    found = learning_rates(Recipe(lr=0.1), steps)
    assert len(found) == steps
    assert all(0 < rate <= 0.1 for rate in found)


def test_schedules():
    cycle = learning_rates(Recipe(lr=0.4), 100)
    assert len(cycle) == 100
    assert max(cycle) == pytest.approx(0.4, rel=1e-3)
    assert 18 <= cycle.index(max(cycle)) <= 20
    assert cycle[0] == pytest.approx(0.4 / 25)
    assert cycle[-1] < 1e-3
    cosine = learning_rates(Recipe(lr=0.4, schedule="cosine"), 100)
    assert cosine[0] == 0.4
    assert cosine[50] == pytest.approx(0.2)
    assert cosine == sorted(cosine, reverse=True)
    assert 0 < cosine[-1] < 1e-3
