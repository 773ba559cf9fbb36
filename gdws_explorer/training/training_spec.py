"""One training that somebody asked for, as a value: what, how, and under which budget."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gdws_explorer.errors import BudgetError, DataError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import NORMS
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.training.augment import LEAST
from gdws_explorer.training.callbacks import StepInfo
from gdws_explorer.training.cstar_style.cstar_training import (
    CstarProgress,
    cstar,
    factor_recipe,
    factors_checkpoint,
)
from gdws_explorer.training.finetuning import CompressedModel, finetune
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.training_checkpoint import epochs_done
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.checks import is_number

FINETUNE = "finetune"
KINDS = {  # besides fine-tuning, the families that `cstar` trains towards
    FINETUNE: "fine-tuned",
    "tucker2": "CSTAR-style",
    "gdws": "robust GDWS",
}
MEASURES = {"params": "parameters", "macs": "MACs"}


@dataclass(frozen=True)
class TrainingSpec:
    """What to train.

    kind : "finetune" the factors of a plan, or low rank and robustness together, "tucker2"
        (CSTAR-style) or "gdws".
    recipe : how; the factors that come out of the latter two are trained more gently
        (`tuning`). measure, ratio : their budget, how many times fewer "params" or "macs".

    Raises DataError, BudgetError.
    """

    kind: str
    recipe: Recipe
    measure: str = "params"
    ratio: float = 4.0

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("measure", MEASURES)):
            if getattr(self, name) not in known:
                raise DataError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}."
                )
        if self.kind != FINETUNE and not (is_number(self.ratio) and self.ratio > 1):
            raise BudgetError(
                f"ratio is {self.ratio!r}; expected how many times fewer "
                f"{MEASURES[self.measure]}, a number above 1."
            )

    def __str__(self) -> str:
        if self.kind == FINETUNE:
            return KINDS[FINETUNE]
        return f"{KINDS[self.kind]}, {self.ratio:g}× fewer {MEASURES[self.measure]}"

    @property
    def tuning(self) -> Recipe:
        """How the factors are trained."""
        return self.recipe if self.kind == FINETUNE else factor_recipe(self.recipe)

    @property
    def planned(self) -> tuple[int, int]:
        """Epochs towards low rank, and of the factors."""
        return 0 if self.kind == FINETUNE else self.recipe.epochs, self.tuning.epochs

    @property
    def budget(self) -> dict[str, Any]:
        """As `cstar` and `Room.of` take it."""
        return {"family": self.kind, self.measure: 1 / self.ratio}

    def file(self, plan: Plan) -> str:
        """The name of its checkpoint; plan : what is fine-tuned, or the network's dense one."""
        told = {**asdict(self), "recipe": self.recipe.to_dict()}
        whole = json.dumps([plan.hash, told], sort_keys=True)
        digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
        return f"{plan.fingerprint[:12]}-{self.kind}-{digest}.safetensors"

    def left_off(self, checkpoint: str | os.PathLike[str]) -> int:
        """How many epochs its checkpoints hold, towards low rank and of the factors."""
        if self.kind == FINETUNE:
            return epochs_done(checkpoint)
        return epochs_done(checkpoint) + epochs_done(factors_checkpoint(checkpoint))

    def forget(self, checkpoint: str | os.PathLike[str]) -> None:
        """Delete its checkpoints, to begin anew."""
        for path in (Path(checkpoint), factors_checkpoint(checkpoint)):
            path.unlink(missing_ok=True)

    def run(
        self,
        network: Network,
        plan: Plan,
        data: tuple[Tensor, Tensor],
        course: TrainingProgress,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: Callable[[bool], None] | None = None,
        cancel: Cancel = None,
    ) -> CompressedModel:
        """Train; `course` hears of it.

        network, plan : as in `finetune`; without fine-tuning the plan does not matter. progress :
        called after every step with whether there is more to draw. Errors: as `finetune`, `cstar`.
        """

        def tell(fraction: float, told: StepInfo | CstarProgress) -> None:
            more = course.hear(fraction, told, time.monotonic())
            if progress is not None:
                progress(more)

        if self.kind == FINETUNE:
            found = finetune(
                network, plan, data, self.recipe, checkpoint=checkpoint, progress=tell,
                cancel=cancel,
            )  # fmt: skip
        else:
            found = cstar(
                network, data, self.recipe, **self.budget, checkpoint=checkpoint, progress=tell,
                cancel=cancel,
            )  # fmt: skip
        course.finish(found)
        return found


HELD_OUT = 0.1  # of the images
MOST_HELD_OUT = 1000
LEAST_IMAGES = 50  # below, none are held out
AVERAGE = 0.99  # decay of the averaged weights
# Epochs and learning rate, for images below 32 pixels and for photographs.
SMALL = {FINETUNE: (10, 0.03), "tucker2": (14, 0.05), "gdws": (14, 0.05)}
LARGE = {FINETUNE: (10, 0.01), "tucker2": (40, 0.05), "gdws": (40, 0.05)}


def default_recipe(
    kind: str,
    network: Network,
    images: int,
    method: str = "pgd",
    eps: float | None = None,
    norm: str = "linf",
) -> Recipe:
    """The recipe for a kind of training (`task.KINDS`) on so many images.

    eps, norm : the ball of the attack; "standard" has none. Small images are learned from in
    batches of 64 under five steps of PGD; those of 32 pixels and more in batches of 128 with crops
    and flips, under ten. Raises DataError.
    """
    small = min(network.input_shape[1:]) < LEAST
    epochs, lr = (SMALL if small else LARGE)[kind]
    settings: dict[str, Any] = {"batch_size": 64} if small else {"batch_size": 128, "augment": True}
    if small and method in ("pgd", "trades"):
        settings["steps"] = 5
    if small and method == "pgd":
        settings["clean_weight"] = 0.3  # as the digits network itself learned
    if norm != "linf" and method != "standard":
        if method != "pgd" or eps is None:
            raise DataError(
                f"{method} attacks in the ℓ∞ ball, and plans are measured in {NORMS[norm]}; choose "
                "PGD here, or another attack there."
            )
        attack = PGD(eps, settings.pop("steps", 10), norm=norm)
        settings["attack"], eps = attack, None
    if images >= LEAST_IMAGES:
        settings["validation"] = min(HELD_OUT, MOST_HELD_OUT / images)
    return Recipe(
        method, epochs=epochs, lr=lr, eps=eps, average=AVERAGE, amp=network.example.is_cuda,
        **settings,
    )  # fmt: skip
