"""A training as a value: its kind, recipe and budget."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gdws_explorer.errors import BudgetError, DataError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import NORMS
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.training.augment import LEAST_PIXELS
from gdws_explorer.training.cstar_style.cstar_training import (
    cstar,
    factor_recipe,
    factors_checkpoint,
)
from gdws_explorer.training.finetuning import CompressedModel, finetune
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.training_checkpoint import epochs_done as epochs_in
from gdws_explorer.training.training_progress import TrainingProgress
from gdws_explorer.typing import Cancel, Progress, ProgressFn
from gdws_explorer.utils.checks import checked_choice, is_number

FINETUNE = "finetune"
KINDS = {  # besides fine-tuning, the families that `cstar` trains towards
    FINETUNE: "fine-tuned",
    "tucker2": "CSTAR-style",
    "gdws": "robust GDWS",
}
MEASURES = {"params": "parameters", "macs": "MACs"}


@dataclass(frozen=True)
class TrainingSpec:
    """All settings of a training.

    kind : "finetune" trains the factors of a plan; "tucker2" (CSTAR-style) and "gdws" train low
        rank and robustness together.
    recipe : the method and its settings; for "tucker2" and "gdws" the factors are then trained
        with a smaller learning rate (`tuning`).
    measure, ratio : the budget of "tucker2" and "gdws": how many times fewer "params" or "macs".

    Raises DataError, BudgetError.
    """

    kind: str
    recipe: Recipe
    measure: str = "params"
    ratio: float = 4.0

    def __post_init__(self) -> None:
        checked_choice("kind", self.kind, tuple(KINDS))
        checked_choice("measure", self.measure, tuple(MEASURES))
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
        """The recipe for the factors."""
        return self.recipe if self.kind == FINETUNE else factor_recipe(self.recipe)

    @property
    def planned(self) -> tuple[int, int]:
        """The numbers of epochs towards low rank and of the factors."""
        return 0 if self.kind == FINETUNE else self.recipe.epochs, self.tuning.epochs

    @property
    def budget(self) -> dict[str, Any]:
        """The budget as keyword arguments of `cstar` and `RankBudget.of`."""
        return {"family": self.kind, self.measure: 1 / self.ratio}

    def checkpoint_name(self, plan: Plan) -> str:
        """Returns the file name of its checkpoint.

        plan : the plan to fine-tune; for the other kinds the network's dense plan.
        """
        settings = {**asdict(self), "recipe": self.recipe.to_dict()}
        text = json.dumps([plan.hash, settings], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{plan.fingerprint[:12]}-{self.kind}-{digest}.safetensors"

    def epochs_done(self, checkpoint: str | os.PathLike[str]) -> int:
        """Returns the number of epochs in its checkpoints, towards low rank and of the factors."""
        if self.kind == FINETUNE:
            return epochs_in(checkpoint)
        return epochs_in(checkpoint) + epochs_in(factors_checkpoint(checkpoint))

    def delete_checkpoints(self, checkpoint: str | os.PathLike[str]) -> None:
        """Deletes its checkpoints, to begin anew."""
        for path in (Path(checkpoint), factors_checkpoint(checkpoint)):
            path.unlink(missing_ok=True)

    def run(
        self,
        network: Network,
        plan: Plan,
        data: tuple[Tensor, Tensor],
        state: TrainingProgress,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> CompressedModel:
        """Runs the training, and updates `state` after every step.

        network, plan : as in `finetune`; `cstar` does not use the plan. progress : called after
        every step with a `Progress` whose detail is `state`. Errors are those of `finetune` and
        `cstar`.
        """

        def update(step: Progress) -> None:
            state.update(step, time.monotonic())
            if progress is not None:
                progress(Progress(step, state))

        if self.kind == FINETUNE:
            found = finetune(
                network, plan, data, self.recipe, checkpoint=checkpoint, progress=update,
                cancel=cancel,
            )  # fmt: skip
        else:
            found = cstar(
                network, data, self.recipe, **self.budget, checkpoint=checkpoint, progress=update,
                cancel=cancel,
            )  # fmt: skip
        state.finish(found)
        return found


HELD_OUT = 0.1  # of the images
MOST_HELD_OUT = 1000
LEAST_IMAGES = 50  # of fewer images, none are held out
AVERAGE = 0.99  # decay of the averaged weights
# Epochs and learning rate, for images of fewer than 32 pixels and for photographs.
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
    """Returns the default recipe for a kind of training (`KINDS`) on so many images.

    eps, norm : the ball of the attack; "standard" has none. Small images are trained in batches of
    64 with five steps of PGD; images of 32 pixels and more in batches of 128 with ten steps, crops
    and flips. Raises DataError.
    """
    small = min(network.input_shape[1:]) < LEAST_PIXELS
    epochs, lr = (SMALL if small else LARGE)[kind]
    settings: dict[str, Any] = {"batch_size": 64} if small else {"batch_size": 128, "augment": True}
    if small and method in ("pgd", "trades"):
        settings["steps"] = 5
    if small and method == "pgd":
        settings["clean_weight"] = 0.3  # as in the training of the digits network
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
