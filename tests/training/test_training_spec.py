"""A training as a value: its name, its checkpoints, what it tells while it goes on."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gdws_explorer.errors import BudgetError, Cancelled, DataError
from gdws_explorer.network.network import Network
from gdws_explorer.training import Recipe
from gdws_explorer.training.callbacks import StepInfo
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec, default_recipe
from gdws_explorer.typing import Progress

RECIPE = Recipe("pgd", epochs=2, lr=0.02, batch_size=16, eps=0.1, steps=1, validation=0.25)


@pytest.fixture
def network(data):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 10, 3, stride=2), nn.ReLU(),
            nn.Conv2d(10, 10, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4),
        )  # fmt: skip
    return Network(model.eval(), data[0][:1])


def run(task, network, data, state, checkpoint=None, stop_after=None):
    plan = network.budget(params=0.6)
    return task.run(
        network, plan, data, state, checkpoint=checkpoint,
        cancel=lambda: stop_after is not None and sum(state.length[:2]) >= stop_after,
    )  # fmt: skip


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(DataError, match=r"kind is 'cp'; expected one of finetune, tucker2, gdws"):
        TrainingSpec("cp", RECIPE)
    with pytest.raises(DataError, match="measure is 'ms'"):
        TrainingSpec("gdws", RECIPE, "ms")
    with pytest.raises(BudgetError, match=r"ratio is 1; expected how many times fewer MACs"):
        TrainingSpec("gdws", RECIPE, "macs", 1)


@pytest.mark.parametrize(("kind", "planned"), [(FINETUNE, (0, 2)), ("tucker2", (2, 1))])
def test_a_course_follows_every_epoch_to_the_end(network, data, kind, planned):
    task = TrainingSpec(kind, RECIPE, "params", 2.0)
    state = TrainingProgress(task.planned)
    assert task.planned == planned
    assert state.last is None
    assert state.seconds_left(0.0) is None
    changes = []

    def heard(progress):
        assert progress.detail is state
        changes.append(state.changed)

    found = task.run(network, network.budget(params=0.6), data, state, progress=heard)
    # The last epoch of all is not told by a step, but by the end.
    assert sum(changes) == sum(planned) - 1 + (planned[0] > 0) * 1
    assert (len(state.low_rank), len(state.factors)) == planned
    assert state.factors == found.entries
    assert state.fraction == 1.0
    assert state.epoch == state.epochs == sum(planned)
    assert state.last is found.entries[-1]
    assert (state.rounds is not None) == (kind != FINETUNE)
    if kind != FINETUNE:
        assert network.params / 2 >= found.network.summary(found.plan).params
        assert state.length == (2, 1, 3)


@pytest.mark.parametrize("kind", [FINETUNE, "tucker2"])
def test_a_stopped_training_says_how_far_it_came_and_goes_on(network, data, tmp_path, kind):
    task = TrainingSpec(kind, replace(RECIPE, epochs=3), "params", 2.0)
    file = tmp_path / task.checkpoint_name(network.plan())
    assert task.epochs_done(file) == 0
    with pytest.raises(Cancelled):
        run(task, network, data, TrainingProgress(task.planned), file, stop_after=2)
    assert task.epochs_done(file) == 2
    again = TrainingProgress(task.planned)
    found = run(task, network, data, again, file)
    assert task.epochs_done(file) == sum(task.planned)
    assert (len(again.low_rank), len(again.factors)) == task.planned
    straight = run(task, network, data, TrainingProgress(task.planned))
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, found.model.state_dict()[name]), name
    task.delete_checkpoints(file)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_holds_no_epochs(tmp_path):
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"nonsense")
    assert TrainingSpec("gdws", RECIPE).epochs_done(file) == 0


def test_every_training_has_a_file_of_its_own(network):
    plan = network.budget(params=0.6)
    tasks = [
        TrainingSpec(FINETUNE, RECIPE), TrainingSpec("gdws", RECIPE),
        TrainingSpec("tucker2", RECIPE),
        TrainingSpec("tucker2", RECIPE, "macs"), TrainingSpec("tucker2", RECIPE, "params", 8.0),
        TrainingSpec("tucker2", replace(RECIPE, lr=0.03)),
    ]  # fmt: skip
    names = {task.checkpoint_name(plan) for task in tasks}
    assert len(names) == len(tasks)
    assert TrainingSpec(FINETUNE, RECIPE).checkpoint_name(network.plan()) not in names
    assert all(name.startswith(network.fingerprint[:12]) for name in names)


def test_the_time_left_counts_from_where_this_run_began():
    state = TrainingProgress((0, 4))
    told = StepInfo(3, 30, 0.5, ())
    state.update(Progress(0.5, told), now=100.0)
    assert state.seconds_left(100.0) is None
    state.update(Progress(0.75, told), now=110.0)
    assert state.seconds_left(110.0) == pytest.approx(10.0)


def test_usual_settings(network):
    recipe = default_recipe("tucker2", network, 1437, "pgd", 0.15)
    assert recipe.validation == 0.1
    assert (recipe.training_attack.eps, recipe.training_attack.steps, recipe.augment) == (
        0.15,
        5,
        False,
    )
    assert default_recipe(FINETUNE, network, 50_000, "trades", 0.1).validation == 0.02
    assert default_recipe(FINETUNE, network, 30, "standard").validation_attack is None
    assert default_recipe(FINETUNE, network, 30, "fast", 0.1).validation == 0
    ball = default_recipe(FINETUNE, network, 100, "pgd", 0.5, "l2")
    assert (ball.training_attack.norm, ball.validation_attack.norm, ball.training_attack.eps) == (
        "l2",
        "l2",
        0.5,
    )
    with pytest.raises(DataError, match="trades attacks in the ℓ∞ ball"):
        default_recipe(FINETUNE, network, 100, "trades", 0.5, "l2")
