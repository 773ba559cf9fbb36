"""How long a training takes: counted right, and marked where it is a guess."""

import pytest
from torch import nn

from gdws_explorer.network.network import Network
from gdws_explorer.robust import PGD
from gdws_explorer.training import Recipe
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.training.training_time import TrainingTime, guess_time, passes, time_steps

RECIPE = Recipe("pgd", epochs=4, lr=0.02, batch_size=16, eps=0.1, steps=3, validation=0.25)


@pytest.fixture
def network(data):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 10, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4),
    )  # fmt: skip
    return Network(model.eval(), data[0][:1])


def test_epochs_images_and_projections_are_counted():
    time = TrainingTime(low_rank=2.0, factors=1.0, validation=0.5, project=10.0, timed=True)
    tune = TrainingSpec(FINETUNE, RECIPE)
    assert time.seconds(tune, 40) == 4 * (30 * 1.0 + 10 * 0.5)
    assert time.seconds(tune, 40, done=3) == 30 * 1.0 + 10 * 0.5
    both = TrainingSpec("tucker2", RECIPE)
    low, factor = 30 * 2.0 + 10.0, 30 * 1.0 + 10 * 0.5
    assert time.seconds(both, 40) == 4 * low + 2 * factor
    assert time.seconds(both, 40, done=5) == factor
    assert time.seconds(both, 40, done=6) == 0
    half = time.times(0.5)
    assert (half.factors, half.project, half.timed) == (0.5, 10.0, False)


def test_passes():
    assert passes(Recipe("standard")) == 1
    assert passes(Recipe("fast", eps=0.1)) == 2
    assert passes(RECIPE) == 4
    assert passes(Recipe("pgd", eps=0.1, steps=3, clean_weight=0.5)) == 5
    assert passes(Recipe("trades", eps=0.1)) == 12
    assert passes(Recipe("pgd", attack=PGD(0.1, 7))) == 8


def test_a_guess_grows_with_the_attack(network):
    weak, strong = (
        guess_time(TrainingSpec(FINETUNE, Recipe("pgd", eps=0.1, steps=n)), network) for n in (1, 9)
    )
    assert strong.low_rank == pytest.approx(5 * weak.low_rank)
    assert not weak.timed


@pytest.mark.parametrize("kind", [FINETUNE, "tucker2", "gdws"])
def test_a_few_steps_are_timed_on_copies(network, data, kind, trace, same):
    before = trace(network.model)
    time = time_steps(
        TrainingSpec(kind, RECIPE, "params", 1.5), network, network.budget(params=0.7), data
    )
    assert time.timed
    assert time.factors > 0
    assert time.validation > 0
    assert (time.low_rank > 0) == (time.project > 0) == (kind != FINETUNE)
    assert same(before, trace(network.model))
