"""The picture of a training."""

import pytest

from gdws_explorer.figures import training_curves
from gdws_explorer.robust import PGD
from gdws_explorer.robust.interval import wilson
from gdws_explorer.training.callbacks import EpochRecord, Validation
from gdws_explorer.training.training_progress import TrainingProgress


def entry(number, right=None):
    told = None if right is None else Validation(right + 2, right, 20, PGD(0.1, 10))
    return EpochRecord(number, number, 1 / number, 40, 30, 0.1, 1.0, told)


@pytest.fixture
def course():
    made = TrainingProgress((2, 2))
    made.low_rank = (entry(1), entry(2))
    made.factors = (entry(1, 10), entry(2, 12))
    return made


def test_epochs_run_through_both_parts(course):
    data = training_curves.info(course)
    assert data.loss[0].x == [1, 2]
    assert data.loss[1].x == [3, 4]
    assert data.learned.x == [1, 2, 3, 4]
    assert data.learned.y == [75.0] * 4


def test_held_out_accuracy_has_counts_and_intervals(course):
    robust = training_curves.info(course).robust
    assert robust.x == [3, 4]
    assert robust.y == [50.0, 60.0]
    assert (robust.low[0] / 100, robust.high[0] / 100) == pytest.approx(wilson(10, 20))
    assert "robust 10 of 20 held-out images under PGD-10" in robust.text[0]
    assert "95 %" in robust.text[0]


def test_the_figure_keeps_its_traces_and_marks_where_the_factors_begin(course):
    full = training_curves.figure(training_curves.info(course))
    tuned = TrainingProgress((0, 2))
    tuned.factors = course.factors
    plain = training_curves.figure(training_curves.info(tuned))
    empty = training_curves.figure(training_curves.info(TrainingProgress((0, 3))))
    assert len(full.data) == len(plain.data) == len(empty.data)
    assert [shape.x0 for shape in full.layout.shapes] == [2.5]
    assert plain.layout.shapes == ()
    assert list(full.layout.xaxis.range) == [0.4, 4.6]
    assert full.data[3].error_y.array[0] == pytest.approx(100 * wilson(10, 20)[1] - 50)
    assert [trace.showlegend for trace in plain.data[:2]] == [False, True]
