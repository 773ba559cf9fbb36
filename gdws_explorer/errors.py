"""The errors a user can cause; each message is one sentence that says what to do."""

from __future__ import annotations


class ExplorerError(ValueError):
    """Something the user gave cannot be used; the message says what and what to do."""


class ModelError(ExplorerError):
    """The model, or one of its layers, cannot be explored."""


class DataError(ExplorerError):
    """The images or labels cannot be used."""


class PlanError(ExplorerError):
    """A plan does not fit its network, or its file is damaged."""


class BudgetError(ExplorerError):
    """A budget or rank lies outside what the layer or network allows."""


class Cancelled(Exception):  # noqa: N818 - not an error: the user's own wish
    """A long job was told to stop."""


class TrainingError(ExplorerError):
    """A training cannot go on, or its checkpoint cannot be used.

    trained : the network as it was after the last good epoch, in eval mode; None before that.
    """

    def __init__(self, message: str, trained: object = None) -> None:
        super().__init__(message)
        self.trained = trained
