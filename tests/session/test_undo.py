"""Undo and redo of plain values."""

import pytest

from gdws_explorer.session.undo import STEPS, UndoHistory


@pytest.fixture
def history():
    made = UndoHistory(0)
    for value in (1, 2, 3):
        made.put(value)
    return made


def test_undo_and_redo_are_inverse(history):
    seen = [history.present]
    while history.undo():
        seen.append(history.present)
    assert seen == [3, 2, 1, 0]
    while history.redo():
        seen.append(history.present)
    assert seen == [3, 2, 1, 0, 1, 2, 3]


def test_at_either_end_nothing_changes():
    history = UndoHistory("first")
    assert not history.undo()
    assert not history.redo()
    assert history.present == history.first == "first"


def test_a_new_state_removes_the_steps_to_redo(history):
    history.undo()
    history.put(7)
    assert not history.redo()
    assert history.undo()
    assert history.present == 2


def test_states_of_one_gesture_are_one_step(history):
    for value in (10, 11, 12):
        history.put(value, "drag 1")
    for value in (20, 21):
        history.put(value, "drag 2")
    assert history.undo()
    assert history.present == 12
    assert history.undo()
    assert history.present == 3


def test_a_gesture_ends_with_an_undo(history):
    history.put(10, "drag")
    history.undo()
    history.put(11, "drag")
    assert history.undo()
    assert history.present == 3


def test_the_present_state_again_is_no_step(history):
    history.undo()
    history.put(history.present)
    assert history.redo()
    assert history.present == 3


def test_the_number_of_steps_is_bounded():
    history = UndoHistory(0)
    for value in range(1, STEPS + 51):
        history.put(value)
    undone = 0
    while history.undo():
        undone += 1
    assert undone == STEPS
    assert history.present == 50
    assert history.first == 0
