"""The attacks that a menu offers, and which of their numbers it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attacks import (
    APGD,
    FAB,
    FGSM,
    PGD,
    Attack,
    AutoAttack,
    Square,
)
from gdws_explorer.robust.spec import NORMS
from gdws_explorer.robust.staged import Staged, standard

Measure = Attack | Staged | None
USUAL_L2 = 128 / 255  # radius that the field takes where nothing else is said


@dataclass(frozen=True)
class Kind:
    """One line of the menu.

    label, tip : for people. steps : what the number of tries usually is, None where there is none
    to choose; they are called `steps_name`. restarts : whether there are any. norms : allowed.
    """

    label: str
    tip: str
    make: Callable[[Wish], Measure]
    steps: int | None = None
    steps_name: str = "steps"
    restarts: bool = False
    norms: tuple[str, ...] = tuple(NORMS)


@dataclass(frozen=True)
class Wish:
    """What the menu says. kind : a key of KINDS; eps : radius; norm : "linf" or "l2"."""

    kind: str
    eps: float
    norm: str = "linf"
    steps: int = 20
    restarts: int = 1

    @property
    def attack(self) -> Measure:
        """The attack; DataError where the numbers make none."""
        kind = kind_of(self.kind)
        if self.norm not in kind.norms:
            raise DataError(f"{kind.label} has norm {self.norm!r}; expected one of {kind.norms}.")
        return kind.make(self)


KINDS: dict[str, Kind] = {
    "PGD": Kind(
        "PGD", "Gradient steps within the ball: the usual first measure",
        lambda w: PGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 20, restarts=True,
    ),
    "FGSM": Kind("FGSM", "One gradient step: weak", lambda w: FGSM(w.eps), norms=("linf",)),
    "APGD": Kind(
        "APGD-CE", "PGD that chooses its own step sizes",
        lambda w: APGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 100, restarts=True,
    ),
    "APGD-T": Kind(
        "APGD-T", "APGD towards each of the nine likeliest wrong classes: strong",
        lambda w: APGD(w.eps, w.steps, norm=w.norm, restarts=w.restarts, targeted=True), 100,
        restarts=True,
    ),
    "FAB": Kind(
        "FAB-T", "Looks for the nearest wrong image",
        lambda w: FAB(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 100, restarts=True,
    ),
    "Square": Kind(
        "Square", "Random squares, no gradients: finds what hides behind masked gradients",
        lambda w: Square(w.eps, w.steps, norm=w.norm, restarts=w.restarts), 1000, "queries",
        restarts=True,
    ),
    "AutoAttack": Kind(
        "AutoAttack", "The standard ensemble of four: what the field compares; slow",
        lambda w: AutoAttack(w.eps, norm=w.norm),
    ),
    "staged": Kind(
        "PGD-10, PGD-50×5, AutoAttack",
        "Cheap first, strong last, each on what still stands: the same worst case, sooner",
        lambda w: standard(w.eps), norms=("linf",),
    ),
    "none": Kind("no attack", "Clean accuracy only", lambda _: None),
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """A line of the menu by its key; DataError for another."""
    try:
        return KINDS[name]
    except KeyError:
        raise DataError(f"there is no attack {name!r}; expected one of {tuple(KINDS)}.") from None


def wish_of(attack: Measure) -> Wish | None:
    """What the menu has to say for this attack; None where it cannot say it."""
    if attack is None:
        return Wish("none", 8 / 255)
    one = attack.stages[0] if isinstance(attack, Staged) else attack
    steps = getattr(one, "queries", getattr(one, "steps", 20))
    base = Wish("none", one.eps, one.norm, steps, getattr(one, "restarts", 1))
    wishes = (replace(base, kind=name) for name, kind in KINDS.items() if one.norm in kind.norms)
    return next((wish for wish in wishes if wish.attack == attack), None)


def learning(attack: Measure) -> Attack | None:
    """The attack that images are read under where plans are measured with `attack`.

    Gradients of attacked images are wanted, not verdicts: one try of the plain gradient attack in
    the same ball stands for the slow ones.
    """
    if attack is None:
        return None
    one = attack.stages[0] if isinstance(attack, Staged) else attack
    if isinstance(one, FGSM):
        return one
    if isinstance(one, PGD):
        return replace(one, restarts=1)
    return PGD(one.eps, steps=10, norm=one.norm)
