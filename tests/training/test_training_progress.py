"""The state of a training under way, through both of its parts."""

from types import SimpleNamespace

import pytest

from gdws_explorer.training.callbacks import EpochRecord, StepInfo
from gdws_explorer.training.cstar_style.cstar_training import CstarProgress
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.typing import Progress


def entry(number):
    return EpochRecord(number, 4 * number, 0.5, 36, 20, 0.1, 1.5)


def rounds(n):
    return SimpleNamespace(cost=list(range(n)))


def test_fine_tuning_has_one_part():
    state = TrainingProgress((0, 3))
    assert (state.epochs, state.last, state.length) == (3, None, (0, 0, 0))
    state.update(Progress(0.2, StepInfo(1, 1, 0.5, ())), now=0.0)
    assert (state.epoch, state.fraction, state.changed) == (1, 0.2, False)
    state.update(Progress(0.4, StepInfo(2, 5, 0.5, (entry(1),))), now=1.0)
    assert (state.epoch, state.last, state.changed) == (2, entry(1), True)
    state.update(Progress(0.5, StepInfo(2, 6, 0.5, (entry(1),))), now=2.0)
    assert not state.changed
    assert state.seconds_left(2.0) == pytest.approx(2.0 * 0.5 / 0.3)


def test_low_rank_first_then_the_factors():
    state = TrainingProgress((2, 1))
    first = CstarProgress("low rank", StepInfo(2, 5, 0.5, (entry(1),)), rounds(2))
    state.update(Progress(0.5, first), now=0.0)
    assert (state.epoch, state.length) == (2, (1, 0, 2))
    both = (entry(1), entry(2))
    second = CstarProgress("factors", StepInfo(1, 1, 0.5, ()), rounds(3), both)
    assert second.known is second.step
    state.update(Progress(0.7, second), now=1.0)
    assert (state.epoch, state.length, state.last) == (3, (2, 0, 3), entry(2))
    state.finish(SimpleNamespace(low_rank=both, entries=(entry(3),), rounds=rounds(3)))
    assert (state.fraction, state.epoch, state.last) == (1.0, 3, entry(3))


def test_no_estimate_before_there_is_a_speed():
    state = TrainingProgress((0, 2))
    assert state.seconds_left(5.0) is None
    state.update(Progress(0.5, StepInfo(1, 1, 0.5, ())), now=5.0)
    assert state.seconds_left(9.0) is None
