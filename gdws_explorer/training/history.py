"""What happened in every epoch of a training, in counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attacks import Attack, attack_from_dict
from gdws_explorer.robust.interval import Counted
from gdws_explorer.robust.report import Report


@dataclass(frozen=True)
class Validation(Counted):
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
class Entry:
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
    def from_dict(cls, raw: Mapping[str, Any]) -> Entry:
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
