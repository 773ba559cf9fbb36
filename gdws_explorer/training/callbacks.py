"""What a training tells those who watch it and build on it, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import attack_from_dict
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.report import Report
from gdws_explorer.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class EpochInfo:
    """What `after_epoch` is given.

    number : from 1, of `epochs`. model : the training copy itself, in the modes it learns in; what
        is changed in it, in place, is what the next epoch begins with and the checkpoint holds.
    answer : what would be returned of it: its average, or the same object. entry : what happened.
    """

    number: int
    epochs: int
    model: nn.Module
    answer: nn.Module
    entry: EpochRecord


@dataclass(frozen=True)
class StepInfo:
    """What is known after a step.

    epoch : under way, from 1. step : of the whole training, from 1. loss : of this step.
    history : the epochs before, with their validation; those before a checkpoint too.
    """

    epoch: int
    step: int
    loss: float
    history: tuple[EpochRecord, ...]

    @property
    def last(self) -> EpochRecord | None:
        """The epoch before; None in the first."""
        return self.history[-1] if self.history else None


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A finished training.

    model : the trained copy, in eval mode. history : what happened in every epoch. best : number
        of the epoch whose weights these are, the last one where nothing was held out.
    precision : what was computed in, such as "float32" or "bfloat16".
    """

    model: nn.Module
    history: tuple[EpochRecord, ...]
    best: int
    recipe: Recipe
    precision: str


class StatefulCallback(Protocol):
    """State of somebody who trains with a penalty; saved in the checkpoint, and put back."""

    def capture(self) -> Mapping[str, Tensor]:
        """The tensors, by name."""

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Be as `capture` found it."""


@dataclass(frozen=True)
class Validation(AccuracyCounts):
    """How the network did on the held-out images after an epoch.

    clean_correct, robust_correct, n : counts; robust_correct is None without an attack, whose
        settings are `attack`.
    """

    clean_correct: int
    robust_correct: int | None
    n: int
    attack: Attack | None

    @classmethod
    def of(cls, report: Report) -> Validation:
        """The counts of a report on one attack, or on none."""
        assert report.attack is None or isinstance(report.attack, Attack)
        return cls(report.clean_correct, report.robust_correct, report.n, report.attack)

    @property
    def rank(self) -> tuple[int, int]:
        """What the best epoch has most of: robust images, then clean ones."""
        return (self.robust_correct or 0, self.clean_correct)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    number : from 1. steps : gradient steps of the whole training up to its end.
    loss : mean over the epoch's steps, a penalty included.
    seen, correct : images learned from, attacked where the recipe attacks, and how many of them
        the network got right at that moment, in train mode.
    lr : of the last step. seconds : of the epoch with its validation.
    validation : on the held-out images, None where none are held out.
    attack_steps : gradient steps of the attack learned from; None without one.
    note : what the user should know, such as an epoch done again.
    """

    number: int
    steps: int
    loss: float
    seen: int
    correct: int
    lr: float
    seconds: float
    validation: Validation | None = None
    attack_steps: int | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives back an equal entry."""
        raw = {**asdict(self), "validation": None}
        if self.validation is not None:
            told, attack = self.validation, self.validation.attack
            robust = told.robust_interval
            raw["validation"] = {
                "clean_correct": told.clean_correct,
                "clean_interval": list(told.clean_interval),
                "robust_correct": told.robust_correct,
                "robust_interval": None if robust is None else list(robust),
                "n": told.n,
                "attack": None if attack is None else attack.to_dict(),
            }
        return raw

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> EpochRecord:
        """Read what `to_dict` wrote. Raises DataError."""
        try:
            settings = dict(raw)
            told = settings.pop("validation")
            return cls(**settings, validation=None if told is None else _validation(told))
        except (KeyError, TypeError) as error:
            raise DataError(
                f"an epoch cannot be read ({error}); expected what to_dict wrote."
            ) from (None)


def _validation(raw: Mapping[str, Any]) -> Validation:
    attack = None if raw["attack"] is None else attack_from_dict(raw["attack"])
    return Validation(raw["clean_correct"], raw["robust_correct"], raw["n"], attack)
