"""The sentences about a training."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from gdws_explorer.robust import PGD
from gdws_explorer.session.jobs import Job
from gdws_explorer.session.training_queue import TrainingRun
from gdws_explorer.training.callbacks import EpochRecord, Validation
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.widgets.panels import training_text

SPEC = TrainingSpec(FINETUNE, Recipe("pgd", epochs=3, lr=0.01, eps=0.1))


def epoch(number, right=None):
    found = None if right is None else Validation(right + 2, right, 20, PGD(0.1, 10))
    return EpochRecord(number, number, 0.5, 40, 30, 0.1, 1.0, found)


@pytest.fixture
def run():
    """A fine-tuning of three epochs, of which one is done."""
    progress = TrainingProgress((0, 3))
    progress.factors, progress.epoch = (epoch(1, 10),), 2
    job = Job("training", lambda progress, cancelled: None, status="running")
    return TrainingRun(SPEC, "a plan", progress, None, job)


def test_the_status_is_the_epoch_and_the_time_left(run):
    assert training_text.status_text(run, None) == "epoch 2 of 3"
    assert training_text.status_text(run, 120.0) == "epoch 2 of 3 · about 2 min left"
    run.job.cancel()
    assert training_text.status_text(run, 120.0) == "stopping …"


def test_two_parts_are_named(run):
    both = replace(run, progress=TrainingProgress((2, 1)))
    both.progress.low_rank, both.progress.epoch = (epoch(1),), 2
    assert training_text.status_text(both, None) == "towards low rank · epoch 2 of 3"
    both.progress.low_rank, both.progress.epoch = (epoch(1), epoch(2)), 3
    assert training_text.status_text(both, None) == "the factors · epoch 3 of 3"


def test_before_the_first_epoch_it_waits_or_starts(run):
    first = replace(run, progress=TrainingProgress((0, 3)))
    assert training_text.status_text(first, None) == "starting …"
    first.job.status = "waiting"
    assert training_text.status_text(first, None) == "waiting for its turn"


@pytest.mark.parametrize(
    ("stored", "words"),
    [(0, "after 1 of 3 epochs"), (2, "after 2 of 3 epochs"), (1, "Continue goes on from there")],
)
def test_a_stopped_training_says_what_is_stored(run, stored, words):
    text = training_text.result_text(run, stored)
    assert words in text
    assert "robust 10 of 20 (30% to 70%) under PGD-10" in text
    assert ("no checkpoint was written" in text) == (stored == 0)


def test_a_result_names_its_epoch_and_accuracies(run):
    run.result = SimpleNamespace(entries=(epoch(1, 10), epoch(2, 14)), best=2)
    text = training_text.result_text(run, 3)
    assert "<b>Done</b>" in text
    assert "weights of epoch 2, robust 14 of 20" in text


def test_a_failed_training_says_why(run):
    run.job.error = ValueError("the loss is <nan>")
    assert "the loss is &lt;nan&gt;" in training_text.result_text(run, 0)
