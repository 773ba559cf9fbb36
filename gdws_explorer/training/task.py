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
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.guard import Cancel
from gdws_explorer.robust.spec import is_number
from gdws_explorer.training.checkpoints import epochs_done
from gdws_explorer.training.course import Course
from gdws_explorer.training.cstar import Moment, beside, cstar, gentler
from gdws_explorer.training.finetune import Compressed, finetune
from gdws_explorer.training.hooks import Known
from gdws_explorer.training.recipe import Recipe

FINETUNE = "finetune"
KINDS = {  # besides fine-tuning, the families that `cstar` trains towards
    FINETUNE: "fine-tuned",
    "tucker2": "CSTAR-style",
    "gdws": "robust GDWS",
}
MEASURES = {"params": "parameters", "macs": "MACs"}


@dataclass(frozen=True)
class Task:
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
        return self.recipe if self.kind == FINETUNE else gentler(self.recipe)

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
        return epochs_done(checkpoint) + epochs_done(beside(checkpoint))

    def forget(self, checkpoint: str | os.PathLike[str]) -> None:
        """Delete its checkpoints, to begin anew."""
        for path in (Path(checkpoint), beside(checkpoint)):
            path.unlink(missing_ok=True)

    def run(
        self,
        network: Network,
        plan: Plan,
        data: tuple[Tensor, Tensor],
        course: Course,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: Callable[[bool], None] | None = None,
        cancel: Cancel = None,
    ) -> Compressed:
        """Train; `course` hears of it.

        network, plan : as in `finetune`; without fine-tuning the plan does not matter. progress :
        called after every step with whether there is more to draw. Errors: as `finetune`, `cstar`.
        """

        def tell(fraction: float, told: Known | Moment) -> None:
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
