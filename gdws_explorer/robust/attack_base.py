"""What every attack's specification has: a checked radius, a label, and a way to JSON and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.utils.checks import checked_count, checked_radius
from gdws_explorer.utils.format import eps_text

NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
AttackFn = Callable[[Tensor, Tensor], Tensor]


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
    def bind(self, model: nn.Module) -> AttackFn:
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
        object.__setattr__(self, "eps", checked_radius("eps", self.eps, self.norm))
        for count in ("steps", "queries", "restarts"):
            if hasattr(self, count):
                object.__setattr__(
                    self, count, checked_count(self.name, count, getattr(self, count))
                )

    def _words(self, title: str) -> str:
        restarts = getattr(self, "restarts", 1)
        often = f", {restarts} restarts" if restarts > 1 else ""
        return f"{title} {NORMS[self.norm]} ε {eps_text(self.eps)}{often}"


# The wrong classes that a targeted attack aims at: the nine with the highest scores, as in
# AutoAttack's standard version, whether the network has ten classes or a thousand.
TARGETS = 9
