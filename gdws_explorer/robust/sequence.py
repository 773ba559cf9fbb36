"""Sequences of attacks, each on the images that the earlier ones did not fool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import PGD, AutoAttack, attack_from_dict, check_attack


@dataclass(frozen=True)
class AttackSequence:
    """The point-wise worst case over several attacks, cheap ones first.

    stages : the attacks, at least one; an image that one of them fools is not attacked again.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> AttackSequence((gx.FGSM(0.1), gx.PGD(0.1))).label
    'FGSM ℓ∞ ε 0.1, then PGD-20 ℓ∞ ε 0.1'
    """

    stages: tuple[Attack, ...]

    name: ClassVar[str] = "Staged"  # in stored plans and records

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages:
            raise DataError("a sequence of attacks has no stages; expected at least one attack.")
        for stage in self.stages:
            check_attack(stage)

    @property
    def label(self) -> str:
        """The attacks in words: "PGD-10 ℓ∞ ε 8/255, then AutoAttack ℓ∞ ε 8/255"."""
        return ", then ".join(stage.label for stage in self.stages)

    @property
    def details(self) -> str:
        """The details of each attack, after its number."""
        numbered = ((i, stage.details) for i, stage in enumerate(self.stages, 1))
        return "; ".join(f"{i}: {details}" for i, details in numbered if details)

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        return sum(stage.forwards for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary, which `any_attack_from_dict` reads."""
        return {"name": self.name, "stages": [stage.to_dict() for stage in self.stages]}


def stages_of(attack: Attack | AttackSequence | None) -> tuple[Attack, ...]:
    """Returns the attacks in their order; an empty tuple for None."""
    if attack is None:
        return ()
    return attack.stages if isinstance(attack, AttackSequence) else (attack,)


def checked_attack(given: object) -> Attack | AttackSequence | None:
    """Returns one attack, a sequence for a list of attacks, or None; else raises DataError."""
    if given is None or isinstance(given, AttackSequence):
        return given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return AttackSequence(tuple(given))
    check_attack(given)
    return cast(Attack, given)


def any_attack_from_dict(raw: Any) -> Attack | AttackSequence:
    """Returns the attack or sequence that `to_dict` wrote; raises DataError."""
    if isinstance(raw, dict) and raw.get("name") == AttackSequence.name:
        return AttackSequence(tuple(attack_from_dict(stage) for stage in raw.get("stages", ())))
    return attack_from_dict(raw)


def standard_sequence(eps: float) -> AttackSequence:
    """Returns PGD-10, PGD-50 with five restarts and AutoAttack, in the ℓ∞ ball."""
    return AttackSequence((PGD(eps, steps=10), PGD(eps, steps=50, restarts=5), AutoAttack(eps)))
