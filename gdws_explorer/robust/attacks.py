"""FGSM and PGD as values, and reading any attack back from JSON.

The names of `autoattack` and `attack_base` are importable from here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack, AttackFn
from gdws_explorer.robust.autoattack import APGD, FAB, AutoAttack, Square
from gdws_explorer.utils.checks import check_flag, is_number
from gdws_explorer.utils.format import eps_text

__all__ = [
    "APGD",
    "ATTACKS",
    "FAB",
    "FGSM",
    "PGD",
    "Attack",
    "AutoAttack",
    "Square",
    "attack_from_dict",
    "check_attack",
]


@dataclass(frozen=True)
class FGSM(Attack):
    """One step to a corner of the ℓ∞ ball (Goodfellow et al., ICLR 2015).

    eps : radius of the ball, in (0, 1], for images in [0, 1].

    Examples
    --------
    >>> FGSM(8 / 255).label
    'FGSM ℓ∞ ε 8/255'
    """

    eps: float

    name: ClassVar[str] = "FGSM"
    norm: ClassVar[str] = "linf"  # type: ignore[misc]

    def __post_init__(self) -> None:
        self._check()

    @property
    def label(self) -> str:
        """The attack in words: "FGSM ℓ∞ ε 8/255"."""
        return self._label("FGSM")

    @property
    def forwards(self) -> int:
        """The number of forward passes that one batch takes."""
        return 1

    @property
    def deterministic(self) -> bool:
        """True: nothing in it is random."""
        return True

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import fgsm

        return fgsm(model, self.eps)


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient ascent (Madry et al., ICLR 2018).

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    steps : gradient steps, at least 1.
    step_size : length of one step; 2.5·eps/steps (Madry et al.'s rule) by default.
    random_start : whether to start at a random point of the ball.
    norm : "linf" or "l2".
    restarts : number of runs, at least 1. Each run attacks the images that the runs before did not
        fool; an image keeps the first adversarial example that fooled the network.

    Examples
    --------
    >>> PGD(8 / 255, steps=50, restarts=5).label
    'PGD-50 ℓ∞ ε 8/255, 5 restarts'
    """

    eps: float
    steps: int = 20
    step_size: float | None = None
    random_start: bool = True
    norm: str = field(default="linf", kw_only=True)
    restarts: int = field(default=1, kw_only=True)

    name: ClassVar[str] = "PGD"

    def __post_init__(self) -> None:
        self._check()
        size = 2.5 * self.eps / self.steps if self.step_size is None else self.step_size
        if not is_number(size) or not size > 0:
            raise DataError(f"PGD has step_size={size!r}; expected a positive number.")
        object.__setattr__(self, "step_size", float(size))
        check_flag("PGD", "random_start", self.random_start)
        if self.restarts > 1 and not self.random_start:
            raise DataError(
                f"PGD has restarts={self.restarts} without a random start; expected restarts=1, as"
                " all runs would be the same."
            )

    @property
    def label(self) -> str:
        """The attack in words: "PGD-20 ℓ∞ ε 8/255, 5 restarts"."""
        return self._label(f"PGD-{self.steps}")

    @property
    def details(self) -> str:
        """Step size and start: "step 1/255, random start"."""
        assert self.step_size is not None
        start = "random start" if self.random_start else "from the image itself"
        return f"step {eps_text(self.step_size)}, {start}"

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        return self.restarts * (self.steps + 1) - 1

    @property
    def deterministic(self) -> bool:
        """Whether it starts at the image itself."""
        return not self.random_start

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import pgd

        assert self.step_size is not None
        return pgd(
            model, self.norm, self.eps, self.steps, self.step_size, self.random_start, self.restarts
        )


ATTACKS: dict[str, Callable[..., Attack]] = {
    each.name: each for each in (FGSM, PGD, APGD, FAB, Square, AutoAttack)
}


def attack_from_dict(raw: Mapping[str, Any]) -> Attack:
    """Returns the attack that `to_dict` wrote; raises DataError for unknown names and settings."""
    settings = dict(raw)
    name = settings.pop("name", None)
    if not isinstance(name, str) or name not in ATTACKS:
        raise DataError(f"unknown attack {name!r}; expected one of {', '.join(ATTACKS)}.")
    try:
        return ATTACKS[name](**settings)
    except TypeError:
        raise DataError(
            f"{name} cannot be made from {settings!r}; expected its settings as to_dict writes"
            " them."
        ) from None


def check_attack(attack: object) -> None:
    """Raises DataError unless `attack` is one of this module's attacks."""
    if type(attack) not in ATTACKS.values():
        raise DataError(
            f"the attack is {attack!r}; expected gx.FGSM(eps), gx.PGD(eps, steps), gx.APGD(eps),"
            " gx.FAB(eps), gx.Square(eps), gx.AutoAttack(eps) or None."
        )
