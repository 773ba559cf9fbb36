"""What a training tells those who watch it and build on it, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from gdws_explorer.training.history import Entry
from gdws_explorer.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Epoch:
    """What `after_epoch` is given.

    number : from 1, of `epochs`. model : the training copy itself, in the modes it learns in; what
        is changed in it, in place, is what the next epoch begins with and the checkpoint holds.
    answer : what would be returned of it: its average, or the same object. entry : what happened.
    """

    number: int
    epochs: int
    model: nn.Module
    answer: nn.Module
    entry: Entry


@dataclass(frozen=True)
class Known:
    """What is known after a step.

    epoch : under way, from 1. step : of the whole training, from 1. loss : of this step.
    history : the epochs before, with their validation; those before a checkpoint too.
    """

    epoch: int
    step: int
    loss: float
    history: tuple[Entry, ...]

    @property
    def last(self) -> Entry | None:
        """The epoch before; None in the first."""
        return self.history[-1] if self.history else None


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training.

    model : the trained copy, in eval mode. history : what happened in every epoch. best : number
        of the epoch whose weights these are, the last one where nothing was held out.
    precision : what was computed in, such as "float32" or "bfloat16".
    """

    model: nn.Module
    history: tuple[Entry, ...]
    best: int
    recipe: Recipe
    precision: str


class Extra(Protocol):
    """State of somebody who trains with a penalty; saved in the checkpoint, and put back."""

    def capture(self) -> Mapping[str, Tensor]:
        """The tensors, by name."""

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Be as `capture` found it."""
