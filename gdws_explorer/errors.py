"""Errors that a user can cause; each message is one sentence that says what to do."""

from __future__ import annotations


class ExplorerError(ValueError):
    """Base class of the package's errors: a given value cannot be used.

    The message names the value, says what was expected and what to do. It is a `ValueError`, and
    so is every class below that is derived from it.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> try:
    ...     gx.PGD(eps=8)
    ... except gx.ExplorerError as error:
    ...     print(type(error).__name__, "|", error)
    DataError | eps is 8; expected a number above 0 and at most 1, as images are in [0, 1] (write 8/255, not 8).
    """  # noqa: E501 - a message is one line


class ModelError(ExplorerError):
    """The model, or one of its layers, cannot be used.

    Examples
    --------
    >>> import torch, gdws_explorer as gx
    >>> gx.Network(torch.nn.ReLU(), torch.rand(1, 1, 8, 8))
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.ModelError: the model has no convolution or linear layer...
    """


class DataError(ExplorerError, ValueError):
    """Images, labels, or a setting such as a radius or a count, cannot be used.

    Examples
    --------
    >>> import torch, gdws_explorer as gx
    >>> bench = gx.load("digits")
    >>> gx.evaluate(bench.model, (255 * bench.data[0], bench.data[1]))
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.DataError: the images reach from 0 to 255; expected [0, 1]...
    """


class PlanError(ExplorerError):
    """A plan does not fit its network, or its file is damaged.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> gx.SVD(rank="two")
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.PlanError: rank is 'two'; expected a whole number...
    """


class BudgetError(ExplorerError, ValueError):
    """A budget or a rank lies outside what the layer or the network allows.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> bench = gx.load("digits")
    >>> gx.Network(bench.model, bench.example).budget(macs=1.5)
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.BudgetError: the MACs budget is 1.5; expected a fraction...
    """


class Cancelled(Exception):  # noqa: N818 - not an error: the user's own wish
    """Long work was stopped by its `cancel`.

    It is not an `ExplorerError`: nothing that was given is wrong.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> bench = gx.load("digits")
    >>> gx.evaluate(bench.model, bench.data, cancel=lambda: True)
    Traceback (most recent call last):
    ...
    gdws_explorer.errors.Cancelled: stopped on request
    """


class TrainingError(ExplorerError):
    """A training cannot go on, or its checkpoint cannot be used.

    trained : the network after the last good epoch, in eval mode; None if there is none.

    Examples
    --------
    >>> error = TrainingError("the loss became nan at step 3 of 40; train again.")
    >>> error.trained is None
    True
    """

    def __init__(self, message: str, trained: object = None) -> None:
        super().__init__(message)
        self.trained = trained
