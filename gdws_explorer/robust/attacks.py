"""The attacks as values: what is allowed, in how many steps. torchattacks carries them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor, nn

from gdws_explorer.errors import DataError


@dataclass(frozen=True)
class FGSM:
    """One step to the corner of the ℓ∞ ball (Goodfellow et al., ICLR 2015).

    eps : radius of the ball, in (0, 1], for images in [0, 1].
    """

    eps: float

    name: ClassVar[str] = "FGSM"

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", _radius("eps", self.eps))

    @property
    def label(self) -> str:
        """In words: "FGSM ℓ∞ ε 8/255"."""
        return f"FGSM ℓ∞ ε {_fraction(self.eps)}"

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes."""
        return 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `attack_from_dict` gives back an equal attack."""
        return {"name": self.name, **asdict(self)}

    def bind(self, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """The torchattacks object that turns (images, labels) into attacked images."""
        import torchattacks  # on demand: it takes a second, and costs need no attack

        return torchattacks.FGSM(model, eps=self.eps)


@dataclass(frozen=True)
class PGD:
    """Projected gradient ascent in the ℓ∞ ball (Madry et al., ICLR 2018).

    eps : radius of the ball, in (0, 1], for images in [0, 1].
    steps : gradient steps, at least 1.
    step_size : length of one step; 2.5·eps/steps (Madry et al.'s rule) unless given.
    random_start : start at a uniformly random point of the ball.
    """

    eps: float
    steps: int = 20
    step_size: float | None = None
    random_start: bool = True

    name: ClassVar[str] = "PGD"

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", _radius("eps", self.eps))
        if isinstance(self.steps, bool) or not isinstance(self.steps, Integral) or self.steps < 1:
            raise DataError(f"PGD has steps={self.steps!r}; expected a whole number from 1 up.")
        object.__setattr__(self, "steps", int(self.steps))
        size = 2.5 * self.eps / self.steps if self.step_size is None else self.step_size
        if not _is_number(size) or not size > 0:
            raise DataError(f"PGD has step_size={size!r}; expected a positive number.")
        object.__setattr__(self, "step_size", float(size))
        if not isinstance(self.random_start, bool):
            raise DataError(f"PGD has random_start={self.random_start!r}; expected True or False.")

    @property
    def label(self) -> str:
        """In words: "PGD-20 ℓ∞ ε 0.15"."""
        return f"PGD-{self.steps} ℓ∞ ε {_fraction(self.eps)}"

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes."""
        return self.steps

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `attack_from_dict` gives back an equal attack."""
        return {"name": self.name, **asdict(self)}

    def bind(self, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """The torchattacks object that turns (images, labels) into attacked images."""
        import torchattacks  # on demand: it takes a second, and costs need no attack

        return torchattacks.PGD(
            model,
            eps=self.eps,
            alpha=self.step_size,
            steps=self.steps,
            random_start=self.random_start,
        )


Attack = FGSM | PGD
ATTACKS: dict[str, type[FGSM] | type[PGD]] = {"FGSM": FGSM, "PGD": PGD}


def attack_from_dict(raw: Mapping[str, Any]) -> Attack:
    """Read what `to_dict` wrote. Raises DataError for unknown attacks and settings."""
    settings = dict(raw)
    name = settings.pop("name", None)
    if name not in ATTACKS:
        raise DataError(f"there is no attack {name!r}; expected one of {', '.join(ATTACKS)}.")
    try:
        return ATTACKS[name](**settings)
    except TypeError:
        raise DataError(
            f"{name} cannot be made of {settings!r}; expected its settings as to_dict writes them."
        ) from None


def check_attack(attack: object) -> None:
    """Raises DataError unless `attack` is one of this module's attacks."""
    if not isinstance(attack, FGSM | PGD):
        raise DataError(
            f"the attack is {attack!r}; expected gx.FGSM(eps), gx.PGD(eps, steps) or None."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _radius(name: str, value: object) -> float:
    if not _is_number(value) or not 0 < value <= 1:  # type: ignore[operator]
        raise DataError(
            f"{name} is {value!r}; expected a number above 0 and at most 1, as images are in [0, 1]"
            " (write 8/255, not 8)."
        )
    return float(value)  # type: ignore[arg-type]


def _fraction(eps: float) -> str:
    """`k/255` for the usual integers of 8-bit images, else the number."""
    k = round(eps * 255)
    return f"{k}/255" if abs(eps * 255 - k) < 1e-9 and k < 255 else f"{eps:.4g}"
