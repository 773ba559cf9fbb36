"""Several attacks one after the other, each on what the earlier ones left standing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import PGD, AutoAttack, attack_from_dict, check_attack


@dataclass(frozen=True)
class AttackSequence:
    """Point-wise worst case over several attacks, cheap ones first.

    stages : the attacks, at least one; an image that one of them fools meets no later one.
    """

    stages: tuple[Attack, ...]

    name: ClassVar[str] = "Staged"

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages:
            raise DataError("a staged attack has no stages; expected at least one attack.")
        for stage in self.stages:
            check_attack(stage)

    @property
    def label(self) -> str:
        """In words: "PGD-10 ℓ∞ ε 8/255, then AutoAttack ℓ∞ ε 8/255"."""
        return ", then ".join(stage.label for stage in self.stages)

    @property
    def details(self) -> str:
        """Those of the stages, each behind its number."""
        told = ((i, stage.details) for i, stage in enumerate(self.stages, 1))
        return "; ".join(f"{i}: {words}" for i, words in told if words)

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""
        return sum(stage.forwards for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives back an equal one."""
        return {"name": self.name, "stages": [stage.to_dict() for stage in self.stages]}


def stages_of(attack: Attack | AttackSequence | None) -> tuple[Attack, ...]:
    """The attacks in their order; none for None."""
    if attack is None:
        return ()
    return attack.stages if isinstance(attack, AttackSequence) else (attack,)


def checked_attack(given: object) -> Attack | AttackSequence | None:
    """One attack, several in a list, or None; DataError for anything else."""
    if given is None or isinstance(given, AttackSequence):
        return given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return AttackSequence(tuple(given))
    check_attack(given)
    return given  # type: ignore[return-value]


def any_attack_from_dict(raw: Any) -> Attack | AttackSequence:
    """Read what `to_dict` of an attack or of a staged one wrote. Raises DataError."""
    if isinstance(raw, dict) and raw.get("name") == AttackSequence.name:
        return AttackSequence(tuple(attack_from_dict(stage) for stage in raw.get("stages", ())))
    return attack_from_dict(raw)


def standard_sequence(eps: float) -> AttackSequence:
    """PGD-10, PGD-50 with five restarts, AutoAttack: from cheap to strong, in the ℓ∞ ball."""
    return AttackSequence((PGD(eps, steps=10), PGD(eps, steps=50, restarts=5), AutoAttack(eps)))
