"""What a measurement says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.sequence import AttackSequence, any_attack_from_dict


@dataclass(frozen=True)
class PartialReport:
    """What is known so far: of the first `done` of n images, how many were right."""

    done: int
    n: int
    clean_correct: int
    robust_correct: int | None


@dataclass(frozen=True)
class Report(AccuracyCounts):
    """A finished measurement.

    clean, robust : fractions of n; robust is None without an attack. An image counts as robust
        if the network is right on it and on its attacked twin.
    clean_correct, robust_correct : the same as numbers of images.
    attack : what attacked, or None. seed : which images and which noise.
    stages : images left standing after each attack of a staged one; of a single one, its own.
    note : what the user should know of how it was measured, or None.
    seconds : wall-clock time. through : "dense" or "layers", see `evaluate`.
    clean_mask, robust_mask : bool arrays `(n,)`, the verdict on each measured image in the
        order of the data, for comparing two plans image by image.
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
    clean_mask: np.ndarray | None = field(default=None, compare=False, repr=False)
    robust_mask: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def clean(self) -> float:
        """Fraction right on the images as they are."""
        return self.clean_correct / self.n

    @property
    def robust(self) -> float | None:
        """Fraction right under attack."""
        return None if self.robust_correct is None else self.robust_correct / self.n

    def __str__(self) -> str:
        low, high = self.clean_interval
        text = f"clean {self.clean:.1%} ({low:.1%} to {high:.1%})"
        if self.attack is not None and self.robust is not None and self.robust_interval is not None:
            low, high = self.robust_interval
            text += f", {self.attack.label} {self.robust:.1%} ({low:.1%} to {high:.1%})"
        return f"{text}, n {self.n}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives back an equal report. Masks are strings of 0 and 1."""
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
        """Read what `to_dict` wrote."""
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


def _digits(mask: np.ndarray | None) -> str | None:
    return None if mask is None else "".join("1" if right else "0" for right in mask)


def _mask(digits: str | None) -> np.ndarray | None:
    return None if digits is None else np.array([digit == "1" for digit in digits], dtype=bool)
