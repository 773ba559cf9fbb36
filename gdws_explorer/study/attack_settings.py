"""Attack types that a menu offers, and the settings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import NORMS, Attack
from gdws_explorer.robust.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square
from gdws_explorer.robust.sequence import AttackSequence, standard_sequence

AttackSpec = Attack | AttackSequence | None
USUAL_L2 = 128 / 255  # the usual ℓ2 radius in the literature


@dataclass(frozen=True)
class AttackType:
    """One entry of the menu.

    label, tip : texts for the page. steps : the usual number of steps, called `steps_name`; None
    where there is none to choose. restarts : whether the attack has restarts. norms : the allowed
    norms.
    """

    label: str
    tip: str
    make: Callable[[AttackSettings], AttackSpec]
    steps: int | None = None
    steps_name: str = "steps"
    restarts: bool = False
    norms: tuple[str, ...] = tuple(NORMS)


@dataclass(frozen=True)
class AttackSettings:
    """Settings of an attack. kind : a key of ATTACK_TYPES; eps : radius; norm : "linf" or "l2"."""

    kind: str
    eps: float
    norm: str = "linf"
    steps: int = 20
    restarts: int = 1

    @property
    def attack(self) -> AttackSpec:
        """The attack of these settings; DataError where they do not fit."""
        chosen = attack_type_of(self.kind)
        if self.norm not in chosen.norms:
            raise DataError(
                f"{chosen.label} has norm {self.norm!r}; expected one of {chosen.norms}."
            )
        return chosen.make(self)


ATTACK_TYPES: dict[str, AttackType] = {
    "PGD": AttackType(
        "PGD", "Gradient steps within the ball: the usual first measure",
        lambda s: PGD(s.eps, s.steps, norm=s.norm, restarts=s.restarts), 20, restarts=True,
    ),
    "FGSM": AttackType("FGSM", "One gradient step: weak", lambda s: FGSM(s.eps), norms=("linf",)),
    "APGD": AttackType(
        "APGD-CE", "PGD that chooses its own step sizes",
        lambda s: APGD(s.eps, s.steps, norm=s.norm, restarts=s.restarts), 100, restarts=True,
    ),
    "APGD-T": AttackType(
        "APGD-T", "APGD towards each of the nine likeliest wrong classes: strong",
        lambda s: APGD(s.eps, s.steps, norm=s.norm, restarts=s.restarts, targeted=True), 100,
        restarts=True,
    ),
    "FAB": AttackType(
        "FAB-T", "Looks for the nearest wrong image",
        lambda s: FAB(s.eps, s.steps, norm=s.norm, restarts=s.restarts), 100, restarts=True,
    ),
    "Square": AttackType(
        "Square", "Random squares, no gradients: not misled by masked gradients",
        lambda s: Square(s.eps, s.steps, norm=s.norm, restarts=s.restarts), 1000, "queries",
        restarts=True,
    ),
    "AutoAttack": AttackType(
        "AutoAttack", "The standard ensemble of four: what the field compares; slow",
        lambda s: AutoAttack(s.eps, norm=s.norm),
    ),
    "staged": AttackType(
        "PGD-10, PGD-50×5, AutoAttack",
        "Cheap first, strong last, each on images that are still right: the same result, sooner",
        lambda s: standard_sequence(s.eps), norms=("linf",),
    ),
    "none": AttackType("no attack", "Clean accuracy only", lambda _: None),
}  # fmt: skip


def attack_type_of(name: str) -> AttackType:
    """Returns an attack type by its key; DataError for an unknown key."""
    try:
        return ATTACK_TYPES[name]
    except KeyError:
        raise DataError(
            f"unknown attack {name!r}; expected one of {tuple(ATTACK_TYPES)}."
        ) from None


def attack_settings_of(attack: AttackSpec) -> AttackSettings | None:
    """Returns the settings that make this attack; None where no settings do."""
    if attack is None:
        return AttackSettings("none", 8 / 255)
    first = attack.stages[0] if isinstance(attack, AttackSequence) else attack
    steps = getattr(first, "queries", getattr(first, "steps", 20))
    base = AttackSettings("none", first.eps, first.norm, steps, getattr(first, "restarts", 1))
    candidates = (
        replace(base, kind=name)
        for name, attack_type in ATTACK_TYPES.items()
        if first.norm in attack_type.norms
    )
    return next((settings for settings in candidates if settings.attack == attack), None)


def calibration_attack(attack: AttackSpec) -> Attack | None:
    """Returns the attack for calibration images where plans are measured with `attack`.

    A calibration needs gradients of attacked images, and no worst case. So the slow attacks are
    replaced by plain PGD in the same ball, and there is one restart.
    """
    if attack is None:
        return None
    first = attack.stages[0] if isinstance(attack, AttackSequence) else attack
    if isinstance(first, FGSM):
        return first
    if isinstance(first, PGD):
        return replace(first, restarts=1)
    return PGD(first.eps, steps=10, norm=first.norm)
