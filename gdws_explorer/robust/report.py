"""Results of an evaluation, final and partial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.batch_dependence import NOTE
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.sequence import AttackSequence, any_attack_from_dict
from gdws_explorer.typing import BoolArray
from gdws_explorer.utils.format import with_interval


@dataclass(frozen=True)
class PartialReport:
    """The counts of an unfinished evaluation: correct images among the first `done` of n."""

    done: int
    n: int
    clean_correct: int
    robust_correct: int | None


@dataclass(frozen=True)
class Report(AccuracyCounts):
    """The result of an evaluation.

    clean, robust : fractions of n; robust is None without an attack. An image counts as robust
        if the network is correct on it and on its adversarial example.
    clean_correct, robust_correct : the same as numbers of images.
    attack : the attack, or None. seed : of the sample of images and of the noise.
    stages : correct images after each attack of a sequence; one number for a single attack.
    note : what the user needs to know about the measurement, or None.
    seconds : wall-clock time. through : "dense" or "layers", see `evaluate`.
    clean_mask, robust_mask : bool arrays `(n,)`, True where the network is correct, in the order
        of the data; two plans are compared image by image with them.
    """

    clean_correct: int
    robust_correct: int | None
    n: int
    attack: Attack | AttackSequence | None
    seed: int
    seconds: float
    through: str = "dense"
    stages: tuple[int, ...] = ()
    note: str | None = None
    clean_mask: BoolArray | None = field(default=None, compare=False, repr=False)
    robust_mask: BoolArray | None = field(default=None, compare=False, repr=False)

    @property
    def clean(self) -> float:
        """The fraction of images that are correct without attack."""
        return self.clean_correct / self.n

    @property
    def robust(self) -> float | None:
        """The fraction of images that are correct under attack; None without one."""
        return None if self.robust_correct is None else self.robust_correct / self.n

    def __str__(self) -> str:
        text = f"clean {with_interval(self.clean, self.clean_interval)}"
        if self.attack is not None and self.robust is not None and self.robust_interval is not None:
            text += f", {self.attack.label} {with_interval(self.robust, self.robust_interval)}"
        return f"{text}, n {self.n}" + ("" if self.note is None else f"; note: {self.note}")

    @property
    def batch_dependent(self) -> bool:
        """Whether the scores of an image were found to depend on the others of its batch."""
        return NOTE in (self.note or "")

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary, with the masks as strings of 0 and 1."""
        return {
            "clean": self.clean,
            "clean_correct": self.clean_correct,
            "clean_interval": list(self.clean_interval),
            "robust": self.robust,
            "robust_correct": self.robust_correct,
            "robust_interval": None if self.robust_interval is None else list(self.robust_interval),
            "n": self.n,
            "attack": None if self.attack is None else self.attack.to_dict(),
            "seed": self.seed,
            "seconds": self.seconds,
            "through": self.through,
            "stages": list(self.stages),
            "note": self.note,
            "clean_mask": _digits(self.clean_mask),
            "robust_mask": _digits(self.robust_mask),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Report:
        """Returns the report that `to_dict` wrote; raises DataError if a part is missing."""
        try:
            return cls(
                clean_correct=raw["clean_correct"],
                robust_correct=raw["robust_correct"],
                n=raw["n"],
                attack=None if raw["attack"] is None else any_attack_from_dict(raw["attack"]),
                seed=raw["seed"],
                seconds=raw["seconds"],
                through=raw["through"],
                stages=tuple(raw.get("stages", ())),
                note=raw.get("note"),
                clean_mask=_mask(raw.get("clean_mask")),
                robust_mask=_mask(raw.get("robust_mask")),
            )
        except KeyError as error:
            raise DataError(f"the report lacks {error}; measure the network again.") from None


def _digits(mask: BoolArray | None) -> str | None:
    return None if mask is None else "".join("1" if correct else "0" for correct in mask)


def _mask(digits: str | None) -> BoolArray | None:
    return None if digits is None else np.array([digit == "1" for digit in digits], dtype=bool)
