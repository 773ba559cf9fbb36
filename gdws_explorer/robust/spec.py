"""What every attack's specification has: a checked radius, a label, and a way to JSON and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor, nn

from gdws_explorer.errors import DataError

NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
Strike = Callable[[Tensor, Tensor], Tensor]


class Attack(ABC):
    """An attack as a value: what is allowed, how hard it is tried. torchattacks carries it out.

    A specification is a frozen dataclass whose fields are all there is to know about it.

    eps : radius of the ball, for images in [0, 1]. norm : "linf" or "l2".
    """

    name: ClassVar[str]
    eps: float
    norm: str
    # Left out of `to_dict` at these values: what was stored before they existed reads the same.
    usual: ClassVar[dict[str, Any]] = {"norm": "linf", "restarts": 1}

    @property
    @abstractmethod
    def label(self) -> str:
        """In the field's words: "PGD-20 ℓ∞ ε 8/255, 5 restarts"."""

    @property
    def details(self) -> str:
        """What the label leaves out, in words; nothing for attacks without such settings."""
        return ""

    @property
    @abstractmethod
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""

    @property
    @abstractmethod
    def deterministic(self) -> bool:
        """Whether the verdict is the same whatever the state of torch's random numbers."""

    @abstractmethod
    def bind(self, model: nn.Module) -> Strike:
        """The function that turns images `(B, C, H, W)` and labels `(B,)` into attacked images.

        model : images in [0, 1] to class scores `(B, classes)`.
        """

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `attack_from_dict` gives back an equal attack."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        for name, value in self.usual.items():
            if name in settings and settings[name] == value:
                del settings[name]
        return {"name": self.name, **settings}

    def _check(self) -> None:
        """Norm, radius, and what a specification has of steps, queries and restarts."""
        if self.norm not in NORMS:
            raise DataError(
                f"{self.name} has norm={self.norm!r}; expected 'linf' (ℓ∞) or 'l2' (ℓ2)."
            )
        object.__setattr__(self, "eps", radius("eps", self.eps, self.norm))
        for count in ("steps", "queries", "restarts"):
            if hasattr(self, count):
                object.__setattr__(self, count, whole(self.name, count, getattr(self, count)))

    def _words(self, title: str) -> str:
        restarts = getattr(self, "restarts", 1)
        often = f", {restarts} restarts" if restarts > 1 else ""
        return f"{title} {NORMS[self.norm]} ε {fraction(self.eps)}{often}"


def is_number(value: object) -> bool:
    """Whether it is a finite real number, True and False not among them."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def radius(name: str, value: object, norm: str = "linf") -> float:
    """A ball's radius: in (0, 1] for ℓ∞, any positive number for ℓ2. Raises DataError."""
    if norm == "l2":
        if not is_number(value) or not value > 0:  # type: ignore[operator]
            raise DataError(
                f"{name} is {value!r}; expected a number above 0, the ℓ2 distance of images in"
                " [0, 1] (usually 128/255 or 0.5)."
            )
    elif not is_number(value) or not 0 < value <= 1:  # type: ignore[operator]
        raise DataError(
            f"{name} is {value!r}; expected a number above 0 and at most 1, as images are in [0, 1]"
            " (write 8/255, not 8)."
        )
    return float(value)  # type: ignore[arg-type]


def whole(owner: str, name: str, value: object) -> int:
    """A count, at least 1. Raises DataError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise DataError(f"{owner} has {name}={value!r}; expected a whole number from 1 up.")
    return int(value)


def flag(owner: str, name: str, value: object) -> None:
    """Raises DataError unless it is True or False."""
    if not isinstance(value, bool):
        raise DataError(f"{owner} has {name}={value!r}; expected True or False.")


def fraction(eps: float) -> str:
    """`k/255` for the usual integers of 8-bit images, else the number."""
    k = round(eps * 255)
    return f"{k}/255" if abs(eps * 255 - k) < 1e-9 and k < 255 else f"{eps:.4g}"
