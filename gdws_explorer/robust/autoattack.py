"""The attacks of AutoAttack as values, by default with the settings of Croce & Hein (ICML 2020)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import TARGETS, Attack, AttackFn
from gdws_explorer.utils.checks import check_flag


class _TorchattacksAttack(Attack):
    """Base class of the attacks that return an image unchanged if they cannot fool it."""

    @property
    def deterministic(self) -> bool:
        """False: every run starts at a random point."""
        return False


@dataclass(frozen=True)
class APGD(_TorchattacksAttack):
    """Gradient ascent that adapts its own step size (Auto-PGD; Croce & Hein, ICML 2020).

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    steps : gradient steps of one run.
    norm : "linf" or "l2". restarts : number of runs, each on the images not fooled so far.
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
        """The attack in words: "APGD-T-100 ℓ2 ε 0.5"."""
        kind = "T" if self.targeted else self.loss.upper()
        return self._label(f"APGD-{kind}-{self.steps}")

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        if self.targeted:
            return 1 + TARGETS * (1 + self.restarts * (self.steps + 2))
        return 2 + self.restarts * (self.steps + 1)

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import apgd

        return apgd(model, self.norm, self.eps, self.steps, self.restarts, self.loss, self.targeted)


@dataclass(frozen=True)
class FAB(_TorchattacksAttack):
    """Steps to the nearest point of the decision boundary (Croce & Hein, ICML 2020).

    This is FAB-T: towards each of the nine most likely wrong classes in turn.

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    steps : steps of one run.
    norm : "linf" or "l2". restarts : number of runs; the first starts at the image, the others at
        random points.
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
        """The attack in words: "FAB-T-100 ℓ∞ ε 8/255"."""
        return self._label(f"FAB-T-{self.steps}")

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        return 2 + TARGETS * self.restarts * (2 * self.steps + 3)

    @property
    def deterministic(self) -> bool:
        """Whether the only run is the one that starts at the image itself."""
        return self.restarts == 1

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import fab

        return fab(model, self.norm, self.eps, self.steps, self.restarts)


@dataclass(frozen=True)
class Square(_TorchattacksAttack):
    """Random search with square patches, without gradients (Andriushchenko et al., ECCV 2020).

    eps : radius of the ball, for images in [0, 1]; at most 1 for ℓ∞.
    queries : patches that one run tries, each in one forward pass.
    norm : "linf" or "l2"; for ℓ2 the images must be about square, and some sizes below 25 pixels
        do not work (the error says so). restarts : number of runs, each on the images not fooled
        so far.
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
        """The attack in words: "Square-5000 ℓ∞ ε 8/255"."""
        return self._label(f"Square-{self.queries}")

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        return 2 + self.restarts * (self.queries + 2)

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import square

        return square(model, self.norm, self.eps, self.queries, self.restarts)


@dataclass(frozen=True)
class AutoAttack(_TorchattacksAttack):
    """The standard ensemble (Croce & Hein, ICML 2020): an image is robust if no part fools it.

    APGD-CE, APGD-T and FAB-T with 100 steps, Square with 5000 queries, one run each, each on the
    images that the parts before did not fool. Needs four classes; only the ball can be set.

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
        """The attacks of the ensemble in their order."""
        return (
            APGD(self.eps, norm=self.norm),
            APGD(self.eps, norm=self.norm, targeted=True),
            FAB(self.eps, norm=self.norm),
            Square(self.eps, norm=self.norm),
        )

    @property
    def label(self) -> str:
        """The attack in words: "AutoAttack ℓ∞ ε 8/255"."""
        return self._label("AutoAttack")

    @property
    def forwards(self) -> int:
        """The largest number of forward passes that one batch takes."""
        parts = self.parts
        return 1 + sum(part.forwards for part in parts) + len(parts) - 1

    def bind(self, model: nn.Module) -> AttackFn:
        """Returns the attack on a model: images and labels to attacked images."""
        # Here, because importing torchattacks takes a second.
        from gdws_explorer.robust.torchattacks_backend import ensemble

        bound = [part.bind(model) for part in self.parts]
        return ensemble(model, self.norm, bound)
