"""The AutoAttack family as values, with the settings of Croce & Hein (ICML 2020) unless said."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import TARGETS, Attack, AttackFn
from gdws_explorer.utils.checks import check_flag


class _TorchattacksAttack(Attack):
    """An image that could not be fooled comes back as it was."""

    @property
    def deterministic(self) -> bool:
        """Every try starts somewhere random."""
        return False


@dataclass(frozen=True)
class APGD(_TorchattacksAttack):
    """Gradient ascent that finds its own step size (Auto-PGD; Croce & Hein, ICML 2020).

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    steps : gradient steps of one try.
    norm : "linf" or "l2". restarts : tries, each on the images that still stand.
    loss : "ce" (cross-entropy: APGD-CE) or "dlr" (difference of logits ratio: APGD-DLR; needs
        three classes).
    targeted : APGD-T, towards each of the nine most likely wrong classes in turn, with the
        targeted difference of logits ratio as loss; needs four classes.
    """

    eps: float
    steps: int = 100
    _: KW_ONLY
    norm: str = "linf"
    restarts: int = 1
    loss: str = "ce"
    targeted: bool = False

    name: ClassVar[str] = "APGD"

    def __post_init__(self) -> None:
        self._check()
        check_flag("APGD", "targeted", self.targeted)
        if self.loss not in ("ce", "dlr"):
            raise DataError(f"APGD has loss={self.loss!r}; expected 'ce' or 'dlr'.")
        if self.targeted and self.loss != "ce":
            raise DataError(
                f"APGD has targeted=True and loss={self.loss!r}; expected one of them: APGD-T has a"
                " loss of its own."
            )

    @property
    def label(self) -> str:
        """In words: "APGD-T-100 ℓ2 ε 0.5"."""
        kind = "T" if self.targeted else self.loss.upper()
        return self._words(f"APGD-{kind}-{self.steps}")

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""
        if self.targeted:
            return 1 + TARGETS * (1 + self.restarts * (self.steps + 2))
        return 2 + self.restarts * (self.steps + 1)

    def bind(self, model: nn.Module) -> AttackFn:
        """The function that turns (images, labels) into attacked images."""
        from gdws_explorer.robust import (
            torchattacks_backend,  # on demand: torchattacks takes a second
        )

        return torchattacks_backend.apgd(model, self)


@dataclass(frozen=True)
class FAB(_TorchattacksAttack):
    """Steps to the nearest point of the decision boundary (Croce & Hein, ICML 2020).

    FAB-T: towards each of the nine most likely wrong classes in turn.

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    steps : steps of one try.
    norm : "linf" or "l2". restarts : tries; the first starts at the image, the others at random.
    """

    eps: float
    steps: int = 100
    _: KW_ONLY
    norm: str = "linf"
    restarts: int = 1

    name: ClassVar[str] = "FAB"

    def __post_init__(self) -> None:
        self._check()

    @property
    def label(self) -> str:
        """In words: "FAB-T-100 ℓ∞ ε 8/255"."""
        return self._words(f"FAB-T-{self.steps}")

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""
        return 2 + TARGETS * self.restarts * (2 * self.steps + 3)

    @property
    def deterministic(self) -> bool:
        """Whether there is only the try that starts at the image itself."""
        return self.restarts == 1

    def bind(self, model: nn.Module) -> AttackFn:
        """The function that turns (images, labels) into attacked images."""
        from gdws_explorer.robust import (
            torchattacks_backend,  # on demand: torchattacks takes a second
        )

        return torchattacks_backend.fab(model, self)


@dataclass(frozen=True)
class Square(_TorchattacksAttack):
    """Random search with square patches, without gradients (Andriushchenko et al., ECCV 2020).

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    queries : patches that one try offers, each in one forward pass.
    norm : "linf" or "l2"; for ℓ2 the images must be about square, and some sizes below 25 pixels
        do not work (the error says so). restarts : tries, each on the images that still stand.
    """

    eps: float
    queries: int = 5000
    _: KW_ONLY
    norm: str = "linf"
    restarts: int = 1

    name: ClassVar[str] = "Square"

    def __post_init__(self) -> None:
        self._check()

    @property
    def label(self) -> str:
        """In words: "Square-5000 ℓ∞ ε 8/255"."""
        return self._words(f"Square-{self.queries}")

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""
        return 2 + self.restarts * (self.queries + 2)

    def bind(self, model: nn.Module) -> AttackFn:
        """The function that turns (images, labels) into attacked images."""
        from gdws_explorer.robust import (
            torchattacks_backend,  # on demand: torchattacks takes a second
        )

        return torchattacks_backend.square(model, self)


@dataclass(frozen=True)
class AutoAttack(_TorchattacksAttack):
    """The standard ensemble (Croce & Hein, ICML 2020); an image is robust if it survives it all.

    APGD-CE, APGD-T and FAB-T with 100 steps, Square with 5000 queries, one try each, each on the
    images that still stand. Needs four classes; there is nothing to set but the ball.

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞. norm : "linf" or "l2".
    """

    eps: float
    _: KW_ONLY
    norm: str = "linf"

    name: ClassVar[str] = "AutoAttack"

    def __post_init__(self) -> None:
        self._check()

    @property
    def parts(self) -> tuple[Attack, ...]:
        """The ensemble in its order."""
        return (
            APGD(self.eps, norm=self.norm),
            APGD(self.eps, norm=self.norm, targeted=True),
            FAB(self.eps, norm=self.norm),
            Square(self.eps, norm=self.norm),
        )

    @property
    def label(self) -> str:
        """In words: "AutoAttack ℓ∞ ε 8/255"."""
        return self._words("AutoAttack")

    @property
    def forwards(self) -> int:
        """Forward passes that one batch takes at most."""
        parts = self.parts
        return 1 + sum(part.forwards for part in parts) + len(parts) - 1

    def bind(self, model: nn.Module) -> AttackFn:
        """The function that turns (images, labels) into attacked images."""
        from gdws_explorer.robust import (
            torchattacks_backend,  # on demand: torchattacks takes a second
        )

        return torchattacks_backend.ensemble(model, self)
