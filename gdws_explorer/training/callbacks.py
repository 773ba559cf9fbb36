"""Data that a training passes to its callbacks, and its result."""

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
    """The argument of `after_epoch`.

    number : of the epoch, from 1 to `epochs`. model : the training copy itself, in the modes in
        which it learns; changes made to it in place are kept for the next epoch and the checkpoint.
    result : the network that would be returned: its average, or the same object. entry : the
        counts of the epoch.
    """

    number: int
    epochs: int
    model: nn.Module
    result: nn.Module
    entry: EpochRecord

    @property
    def answer(self) -> nn.Module:
        """The name of `result` in version 0.1."""
        return self.result


@dataclass(frozen=True)
class StepInfo:
    """The detail of `progress` after a step.

    epoch : the current epoch, from 1. step : of the whole training, from 1. loss : of this step.
    history : the finished epochs with their validation, also those before a checkpoint.
    """

    epoch: int
    step: int
    loss: float
    history: tuple[EpochRecord, ...]

    @property
    def last(self) -> EpochRecord | None:
        """The last finished epoch; None in the first epoch."""
        return self.history[-1] if self.history else None


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """The result of a training.

    model : the trained copy, in eval mode. history : one record per epoch. best : number of the
        epoch with these weights; the last epoch if no images were held out.
    precision : the type of the computation, such as "float32" or "bfloat16".
    """

    model: nn.Module
    history: tuple[EpochRecord, ...]
    best: int
    recipe: Recipe
    precision: str


class StatefulCallback(Protocol):
    """Protocol of a callback whose state is saved in the checkpoint and restored from it."""

    def capture(self) -> Mapping[str, Tensor]:
        """Returns the state as tensors, by name."""

    def restore(self, tensors: Mapping[str, Tensor], /) -> None:
        """Restores the state that `capture` returned."""


@dataclass(frozen=True)
class Validation(AccuracyCounts):
    """The network's accuracy on the held-out images after an epoch.

    clean_correct, robust_correct, n : counts of images; robust_correct is None without an attack.
    attack : the attack, or None.
    """

    clean_correct: int
    robust_correct: int | None
    n: int
    attack: Attack | None

    @classmethod
    def of(cls, report: Report) -> Validation:
        """Returns the counts of a report with one attack, or with none."""
        assert report.attack is None or isinstance(report.attack, Attack)
        return cls(report.clean_correct, report.robust_correct, report.n, report.attack)

    @property
    def rank(self) -> tuple[int, int]:
        """The order of epochs: by robust images, then by clean images."""
        return (self.robust_correct or 0, self.clean_correct)


@dataclass(frozen=True)
class EpochRecord:
    """The counts of one epoch.

    number : from 1. steps : gradient steps of the whole training up to the end of the epoch.
    loss : mean over the epoch's steps, a penalty included.
    seen, correct : number of images learned from (attacked if the recipe attacks), and how many of
        them were correct at that moment, in train mode.
    lr : of the last step. seconds : of the epoch with its validation.
    validation : on the held-out images; None if there are none.
    attack_steps : gradient steps of the attack learned from; None without an attack.
    note : what the user needs to know, such as a repeated epoch; or None.
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
        """Returns a JSON-ready dictionary; `from_dict` makes an equal record from it."""
        raw = {**asdict(self), "validation": None}
        if self.validation is not None:
            found, attack = self.validation, self.validation.attack
            robust = found.robust_interval
            raw["validation"] = {
                "clean_correct": found.clean_correct,
                "clean_interval": list(found.clean_interval),
                "robust_correct": found.robust_correct,
                "robust_interval": None if robust is None else list(robust),
                "n": found.n,
                "attack": None if attack is None else attack.to_dict(),
            }
        return raw

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> EpochRecord:
        """Returns the record that `to_dict` wrote; raises DataError."""
        try:
            settings = dict(raw)
            raw_validation = settings.pop("validation")
            validation = None if raw_validation is None else _validation(raw_validation)
            return cls(**settings, validation=validation)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"an epoch cannot be read ({error}); expected what to_dict wrote."
            ) from None


def _validation(raw: Mapping[str, Any]) -> Validation:
    attack = None if raw["attack"] is None else attack_from_dict(raw["attack"])
    return Validation(raw["clean_correct"], raw["robust_correct"], raw["n"], attack)
