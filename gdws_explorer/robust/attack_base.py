"""Base class of all attacks: a checked radius, a label, and conversion to JSON."""

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
# A targeted attack aims at so many wrong classes: the nine with the highest scores, as in
# AutoAttack's standard version, whether the network has ten classes or a thousand.
TARGETS = 9
AttackFn = Callable[[Tensor, Tensor], Tensor]
"""An attack bound to a model: images `(B, C, H, W)` and labels `(B,)` to attacked images."""


class Attack(ABC):
    """An attack as a value: its ball and its effort. torchattacks runs it.

    A subclass is a frozen dataclass whose fields are all settings of the attack.

    eps : radius of the ball, for images in [0, 1]. norm : "linf" or "l2".
    """

    name: ClassVar[str]
    eps: float
    norm: str
    # `to_dict` leaves out a field with this value. These fields were added later, and plans and
    # records that were stored before them must stay equal to those that are stored now.
    omitted: ClassVar[dict[str, Any]] = {"norm": "linf", "restarts": 1}

    @property
    @abstractmethod
    def label(self) -> str:
        """The attack in the field's words: "PGD-20 ℓ∞ ε 8/255, 5 restarts"."""

    @property
    def details(self) -> str:
        """Settings that the label leaves out, in words; empty for attacks without such settings."""
        return ""

    @property
    @abstractmethod
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""

    @property
    @abstractmethod
    def deterministic(self) -> bool:
        """Whether the result does not depend on the state of torch's random generators."""

    @abstractmethod
    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images.

        model : images in [0, 1] to class scores `(B, classes)`.
        """

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary; `attack_from_dict` makes an equal attack from it."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        for name, value in self.omitted.items():
            if name in settings and settings[name] == value:
                del settings[name]
        return {"name": self.name, **settings}

    def _check(self) -> None:
        """Checks norm and radius, and steps, queries and restarts where the attack has them."""
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

    def _label(self, title: str) -> str:
        """Returns a title with norm and radius, and with the restarts if there are several."""
        restarts = getattr(self, "restarts", 1)
        repeated = f", {restarts} restarts" if restarts > 1 else ""
        return f"{title} {NORMS[self.norm]} ε {eps_text(self.eps)}{repeated}"
