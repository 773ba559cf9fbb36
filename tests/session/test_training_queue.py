"""Trainings in the background of a small network on a few images."""

import threading

import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.session.training_queue import FOLDER, TrainingQueue
from gdws_explorer.study.network_views import NetworkViews
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec

WAIT = 60  # seconds, at most


@pytest.fixture
def spec():
    recipe = Recipe(method="standard", eps=None, epochs=2, batch_size=20, validation=0.0)
    return TrainingSpec(FINETUNE, recipe)


@pytest.fixture
def open_queue(network, images, tmp_path):
    """A function that opens a queue; all are closed after the test."""
    opened = []

    def make(images=images, cache=tmp_path, changed=lambda job: None):
        mine = Network(network.model, images[0][:1] if images else torch.rand(1, 1, 8, 8))
        made = TrainingQueue(NetworkViews(mine, images), cache, changed)
        opened.append(made)
        return made, mine.plan({"4": GDWS(8)})

    yield make
    for queue in opened:
        queue.close()


@pytest.fixture
def paused(monkeypatch):
    """A training waits after its first step: `reached` is set there, `go` continues it."""
    reached, go, update = threading.Event(), threading.Event(), TrainingProgress.update

    def waiting(self, progress, now):
        update(self, progress, now)
        reached.set()
        go.wait(WAIT)

    monkeypatch.setattr(TrainingProgress, "update", waiting)
    yield reached, go
    go.set()


def test_a_training_ends_with_a_trained_network_and_its_plan(open_queue, spec):
    statuses, finished = [], []
    queue, plan = open_queue(changed=lambda job: statuses.append(job.status))
    run = queue.start(spec, plan, finished.append)
    queue.jobs.wait(WAIT)
    assert run.job.status == "done"
    assert finished == [run] == [queue.latest]
    assert queue.running is None
    assert run.result.plan.trained
    assert dict(run.result.plan) == dict(plan)
    assert statuses[-1] == "done"


def test_the_checkpoint_is_in_a_folder_of_the_cache_and_is_counted(open_queue, spec, tmp_path):
    queue, plan = open_queue()
    assert queue.folder == tmp_path / FOLDER
    path = queue.checkpoint(spec, plan)
    assert path.parent == queue.folder
    assert queue.epochs_done(spec, plan) == 0
    queue.start(spec, plan, lambda run: None)
    queue.jobs.wait(WAIT)
    assert path.exists()
    assert queue.epochs_done(spec, plan) == spec.recipe.epochs


def test_without_a_cache_there_is_no_checkpoint(open_queue, spec):
    queue, plan = open_queue(cache=False)
    assert queue.folder is None
    assert queue.checkpoint(spec, plan) is None
    assert queue.epochs_done(spec, plan) == 0


def test_another_training_is_refused_while_one_is_under_way(open_queue, spec, paused):
    reached, go = paused
    queue, plan = open_queue()
    run = queue.start(spec, plan, lambda run: None)
    assert reached.wait(WAIT)
    assert queue.running is run
    with pytest.raises(DataError, match="a training is under way; cancel it first, or wait"):
        queue.start(spec, plan, lambda run: None)
    assert queue.measure_speed(spec, plan) is None
    queue.cancel()
    go.set()
    queue.jobs.wait(WAIT)
    assert run.job.status == "cancelled"
    assert run.result is None
    assert queue.running is None


def test_the_speed_is_guessed_first_and_then_measured_once(open_queue, spec):
    queue, plan = open_queue()
    seconds, guessed = queue.seconds(spec, plan)
    assert seconds > 0
    assert guessed
    assert queue.measure_speed(spec, plan).about == spec
    queue.jobs.wait(WAIT)
    assert not queue.seconds(spec, plan)[1]
    assert queue.measure_speed(spec, plan) is None


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda images: None, "there are no images to train on; open with gx.explore"),
        (lambda images: (images[0], None), "the images to train on have no labels; open with"),
    ],
)
def test_without_images_or_labels_nothing_is_trained(open_queue, spec, images, keep, words):
    queue, plan = open_queue(images=keep(images))
    with pytest.raises(DataError, match=words):
        queue.data()
    with pytest.raises(DataError, match=words):
        queue.start(spec, plan, lambda run: None)
    assert queue.latest is None
