"""Executors: one place of measurements at a time."""

import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.executors import Execution, executor_for
from gdws_explorer.study.runner import LocalExecutor


@pytest.mark.parametrize("workers", [0, -1, True])
def test_numbers_that_are_none(evaluator, workers):
    with pytest.raises(ExplorerError, match="workers is"), executor_for(evaluator, workers=workers):
        pass


def test_only_one_place_at_a_time(evaluator):
    with (
        pytest.raises(ExplorerError, match="workers= and scheduler= are given"),
        executor_for(evaluator, workers=2, scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_this_process_measures_unless_a_place_is_given(evaluator):
    with Execution().open(evaluator) as executor:
        assert isinstance(executor, LocalExecutor)
        assert (executor.room, executor.busy) == (1, False)


def test_an_execution_passes_its_place_on(evaluator):
    both = Execution(workers=2, scheduler="tcp://h:1")
    with (
        pytest.raises(ExplorerError, match="workers= and scheduler= are given"),
        both.open(evaluator),
    ):
        pass
