"""The attacks that a menu offers, and which of their numbers it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import NORMS, Attack
from gdws_explorer.robust.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square
from gdws_explorer.robust.sequence import AttackSequence, standard_sequence

AttackSpec = Attack | AttackSequence | None
USUAL_L2 = 128 / 255  # radius that the field takes where nothing else is said


@dataclass(frozen=True)
class AttackType:
    """One line of the menu.

    label, tip : for people. steps : what the number of tries usually is, None where there is none
    to choose; they are called `steps_name`. restarts : whether there are any. norms : allowed.
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
    """What the menu says. kind : a key of KINDS; eps : radius; norm : "linf" or "l2"."""

    kind: str
    eps: float
    norm: str = "linf"
    steps: int = 20
    restarts: int = 1

    @property
    def attack(self) -> AttackSpec:
        """The attack; DataError where the numbers make none."""
        kind = attack_type_of(self.kind)
        if self.norm not in kind.norms:
            raise DataError(f"{kind.label} has norm {self.norm!r}; expected one of {kind.norms}.")
        return kind.make(self)


ATTACK_TYPES: dict[str, AttackType] = {
    "PGD": AttackType(
        "PGD", "Gradient steps within the ball: the usual first measure",
        lambda w: PGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 20, restarts=True,
    ),
    "FGSM": AttackType("FGSM", "One gradient step: weak", lambda w: FGSM(w.eps), norms=("linf",)),
    "APGD": AttackType(
        "APGD-CE", "PGD that chooses its own step sizes",
        lambda w: APGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 100, restarts=True,
    ),
    "APGD-T": AttackType(
        "APGD-T", "APGD towards each of the nine likeliest wrong classes: strong",
        lambda w: APGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts, targeted=True), 100,
        restarts=True,
    ),
    "FAB": AttackType(
        "FAB-T", "Looks for the nearest wrong image",
        lambda w: FAB(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 100, restarts=True,
    ),
    "Square": AttackType(
        "Square", "Random squares, no gradients: finds what hides behind masked gradients",
        lambda w: Square(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 1000, "queries",
        restarts=True,
    ),
    "AutoAttack": AttackType(
        "AutoAttack", "The standard ensemble of four: what the field compares; slow",
        lambda w: AutoAttack(w.eps, norm=w.norm),
    ),
    "staged": AttackType(
        "PGD-10, PGD-50×5, AutoAttack",
        "Cheap first, strong last, each on what still stands: the same worst case, sooner",
        lambda w: standard_sequence(w.eps), norms=("linf",),
    ),
    "none": AttackType("no attack", "Clean accuracy only", lambda _: None),
}  # fmt: skip


def attack_type_of(name: str) -> AttackType:
    """A line of the menu by its key; DataError for another."""
    try:
        return ATTACK_TYPES[name]
    except KeyError:
        raise DataError(
            f"there is no attack {name!r}; expected one of {tuple(ATTACK_TYPES)}."
        ) from None


def attack_settings_of(attack: AttackSpec) -> AttackSettings | None:
    """What the menu has to say for this attack; None where it cannot say it."""
    if attack is None:
        return AttackSettings("none", 8 / 255)
    one = attack.stages[0] if isinstance(attack, AttackSequence) else attack
    steps = getattr(one, "queries", getattr(one, "steps", 20))
    base = AttackSettings("none", one.eps, one.norm, steps, getattr(one, "restarts", 1))
    wishes = (
        replace(base, kind=name) for name, kind in ATTACK_TYPES.items() if one.norm in kind.norms
    )
    return next((wish for wish in wishes if wish.attack == attack), None)


def calibration_attack(attack: AttackSpec) -> Attack | None:
    """The attack that images are read under where plans are measured with `attack`.

    Gradients of attacked images are wanted, not verdicts: one try of the plain gradient attack in
    the same ball stands for the slow ones.
    """
    if attack is None:
        return None
    one = attack.stages[0] if isinstance(attack, AttackSequence) else attack
    if isinstance(one, FGSM):
        return one
    if isinstance(one, PGD):
        return replace(one, restarts=1)
    return PGD(one.eps, steps=10, norm=one.norm)
