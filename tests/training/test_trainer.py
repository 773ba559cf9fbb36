"""The epochs of a training: batches, the best epoch, patience, progress, errors."""

import pytest
import torch
from torch import nn

from gdws_explorer.errors import TrainingError
from gdws_explorer.training.fitting import split
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_state import TrainState
from gdws_explorer.training.trainer import Trainer


def trainer(data, recipe, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    made = Trainer(TrainState(model, recipe, None, None), *split(*data, recipe), recipe, **options)
    made.resume()
    return made


def run(made):
    while not made.finished:
        made.run_epoch()
    return made.result()


def test_an_incomplete_batch_is_left_out(data):
    found = run(trainer(data, Recipe(epochs=2, batch_size=20)))
    assert [entry.seen for entry in found.history] == [40, 40]
    assert [entry.steps for entry in found.history] == [2, 4]
    assert (found.best, found.precision, found.model.training) == (2, "float32", False)


def test_progress_is_a_fraction_with_a_step(data):
    steps = []
    run(trainer(data, Recipe(epochs=2, batch_size=24), progress=steps.append))
    assert steps == [0.25, 0.5, 0.75, 1.0]
    assert [step.detail.epoch for step in steps] == [1, 1, 2, 2]
    assert [len(step.detail.history) for step in steps] == [0, 0, 1, 1]


def test_the_best_epoch_is_returned_and_patience_ends_it(data):
    recipe = Recipe(epochs=20, batch_size=12, lr=0.5, validation=0.25, patience=2)
    weights = []
    made = trainer(
        data, recipe, after_epoch=lambda info: weights.append(info.model[1].weight.clone())
    )
    found = run(made)
    ranks = [entry.validation.rank for entry in found.history]
    assert found.best == max(range(1, len(ranks) + 1), key=lambda n: (ranks[n - 1], n))
    assert torch.equal(found.model[1].weight, weights[found.best - 1])
    assert len(ranks) in (20, found.best + 2)


@pytest.mark.parametrize("after", [0, 1])
def test_a_diverged_training_keeps_the_last_good_epoch(data, after):
    good = []

    def spoil(x):
        return x if len(good) < after else x * float("nan")

    recipe = Recipe(epochs=3, batch_size=24)
    made = trainer(data, recipe, augment=spoil, after_epoch=good.append)
    with pytest.raises(TrainingError, match="smaller learning rate") as caught:
        run(made)
    assert (caught.value.trained is not None) == bool(after)
