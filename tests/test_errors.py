"""The errors: one base, ValueErrors, and the examples in their docstrings."""

import doctest

import pytest
import torch

import gdws_explorer as gx
from gdws_explorer import errors

USER_ERRORS = [
    errors.ModelError,
    errors.DataError,
    errors.PlanError,
    errors.BudgetError,
    errors.TrainingError,
]


@pytest.mark.parametrize("error", USER_ERRORS)
def test_every_error_of_the_user_has_one_base(error):
    assert issubclass(error, errors.ExplorerError)


@pytest.mark.parametrize("error", [errors.ExplorerError, errors.DataError, errors.BudgetError])
def test_wrong_values_are_value_errors(error):
    assert issubclass(error, ValueError)


def test_a_cancellation_is_not_the_users_error():
    assert not issubclass(errors.Cancelled, errors.ExplorerError)


def test_the_network_of_a_training_error():
    model = torch.nn.Linear(1, 1)
    error = errors.TrainingError("the loss became nan.", model)
    assert (str(error), error.trained) == ("the loss became nan.", model)
    assert errors.TrainingError("x").trained is None


def test_the_examples_of_the_docstrings():
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    found = doctest.testmod(errors, optionflags=options, extraglobs={"gx": gx})
    assert found.attempted >= 10
    assert found.failed == 0
