"""One training under way: its epochs, and what is kept of them."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from gdws_explorer.errors import TrainingError
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.training import overfitting
from gdws_explorer.training.callbacks import (
    EpochInfo,
    EpochRecord,
    StatefulCallback,
    StepInfo,
    TrainingResult,
    Validation,
)
from gdws_explorer.training.recipe import Recipe, learning_rates
from gdws_explorer.training.train_state import TrainState, part
from gdws_explorer.training.training_checkpoint import Checkpoint
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.devices import dtype_of

Images = tuple[Tensor, Tensor]
HARDEST = 3  # gradient steps that "fast" goes up to: no such attack is known to be overfitted


class Trainer:
    """One training under way.

    learned, held : what is learned from, and what is held out or None.
    """

    augment: Callable[[Tensor], Tensor] | None
    after_epoch: Callable[[EpochInfo], None] | None
    progress: Callable[[float, StepInfo], None] | None
    cancel: Cancel

    def __init__(
        self,
        learner: TrainState,
        learned: Images,
        held: Images | None,
        recipe: Recipe,
        file: Checkpoint | None,
        extra: StatefulCallback | None,
    ) -> None:
        self.learner, self.recipe, self.file, self.extra = learner, recipe, file, extra
        self.held = held
        self.x = learned[0].to(learner.device, dtype_of(learner.network))
        self.y = learned[1].to(learner.device)
        self.size = min(recipe.batch_size, len(self.y))
        self.batches = len(self.y) // self.size
        self.rates = learning_rates(recipe, recipe.epochs * self.batches)
        self.history: list[EpochRecord] = []
        self.best: tuple[int, dict[str, Tensor]] | None = None

    def resume(self) -> None:
        """Begin, or be where the checkpoint is."""
        self.good = self.learner.capture()
        found = None if self.file is None else self.file.read()
        if found is None:
            if self.file is not None:
                self.file.check_space({**self.good, **_prefixed("best.", self.good)})
            return
        held, facts = found
        try:
            self.history = [EpochRecord.from_dict(each) for each in facts["history"]]
            if facts["attack_steps"] is not None:
                self.learner.harden(facts["attack_steps"])
            self.learner.restore(held)
            if facts["best"] is not None:
                self.best = (facts["best"], part(held, "best."))
            if self.extra is not None:
                self.extra.restore(part(held, "extra."))
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            assert self.file is not None
            raise TrainingError(
                f"{self.file.path} does not fit this training ({error}); delete it to begin anew."
            ) from error
        self.good = self.learner.capture()

    @property
    def done(self) -> bool:
        """Whether the last epoch, or the patience, is over."""
        number = len(self.history)
        patience = self.recipe.patience
        waited = self.best is not None and patience is not None and (
            number - self.best[0] >= patience
        )  # fmt: skip
        return number >= self.recipe.epochs or waited

    def epoch(self) -> None:
        """One more epoch, validated, told and written."""
        started = time.perf_counter()
        number = len(self.history) + 1
        entry = self._learn(number)
        self._check_weights(number)
        entry = self._validated(entry)
        entry = replace(entry, seconds=round(time.perf_counter() - started, 3))
        self.history.append(entry)
        if self.after_epoch is not None:
            answer = self.learner.answer
            self.after_epoch(
                EpochInfo(number, self.recipe.epochs, self.learner.network, answer, entry)
            )
        self.good = self.learner.capture()
        if self.file is not None:
            self._write(self.file)

    def trained(self) -> TrainingResult:
        """The weights of the best epoch, or of the last."""
        model = self.learner.answer
        best = len(self.history)
        if self.best is not None:
            best, weights = self.best
            model.load_state_dict(weights)
        for parameter in model.parameters():
            parameter.grad = None
        if self.learner.half is not None:
            model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        precision = str(self.learner.half or self.x.dtype).removeprefix("torch.")
        return TrainingResult(
            model.to(self.learner.home).eval(), tuple(self.history), best, self.recipe, precision
        )

    # -- an epoch ------------------------------------------------------------------------------

    def _learn(self, number: int) -> EpochRecord:
        """The epoch's steps; where "fast" collapses, again with one gradient step more."""
        notes: list[str] = []
        while True:
            found = self._pass(number)
            if isinstance(found, EpochRecord):
                return replace(found, note="; ".join(notes) or None)
            steps = getattr(self.learner.recipe.strike, "steps", 1) + 1
            notes.append(f"{found}; the epoch began anew with {steps} gradient steps")
            self.learner.restore(self.good)
            self.learner.harden(steps)

    def _pass(self, number: int) -> EpochRecord | str:
        """Every batch once: what happened, or why the epoch must be done again."""
        recipe, learner = self.recipe, self.learner
        strike, judge = learner.recipe.strike, recipe.judge
        forwards = getattr(strike, "steps", None)
        looks: frozenset[int] = frozenset()
        if recipe.method == "fast" and forwards is not None and forwards < HARDEST:
            looks = _looks(self.batches)
        total, right = 0.0, 0
        with learner.random.drawing():
            order = torch.randperm(len(self.y))[: self.batches * self.size].to(learner.device)
        for index, batch in enumerate(order.split(self.size), 1):
            x, y = self.x[batch], self.y[batch]
            with learner.random.drawing():
                x = x if self.augment is None else self.augment(x)
                loss, correct = learner.loss(x, y)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise self._lost(
                    f"the loss became {value} at step {learner.steps + 1} of {len(self.rates)} "
                    f"(epoch {number}, batch {index})"
                )
            lr = self.rates[learner.steps]
            learner.step(loss, lr)
            total, right = total + value, right + correct
            if self.progress is not None:
                known = StepInfo(number, learner.steps, value, tuple(self.history))
                self.progress(learner.steps / len(self.rates), known)
            if index in looks and strike is not None and judge is not None:
                self._check_weights(number)
                with learner.random.drawing():
                    found = overfitting.catastrophic_overfitting(
                        learner.network, x, y, strike, judge, self.cancel
                    )
                if found is not None:
                    return found
        if recipe.method == "trades":
            forwards = recipe.steps or 10
        return EpochRecord(
            number, learner.steps, total / self.batches, len(order), right, lr, 0.0,
            attack_steps=forwards,
        )  # fmt: skip

    def _validated(self, entry: EpochRecord) -> EpochRecord:
        if self.held is None:
            return entry
        answer, judge = self.learner.answer, self.recipe.judge
        report = evaluate(answer, self.held, judge, seed=self.recipe.seed, cancel=self.cancel)
        found = Validation.of(report)
        before = None if self.best is None else self.history[self.best[0] - 1].validation
        if before is None or found.rank >= before.rank:
            weights = {name: each.clone() for name, each in answer.state_dict().items()}
            self.best = (entry.number, weights)
        return replace(entry, validation=found)

    # -- what is kept -------------------------------------------------------------------------

    def _write(self, file: Checkpoint) -> None:
        tensors = dict(self.good)
        if self.best is not None:
            tensors |= _prefixed("best.", self.best[1])
        if self.extra is not None:
            tensors |= _prefixed("extra.", self.extra.capture())
        recipe = self.learner.recipe
        hardened = recipe.steps if recipe != self.recipe else None
        facts = {
            "history": [each.to_dict() for each in self.history],
            "best": None if self.best is None else self.best[0],
            "attack_steps": hardened,
        }
        try:
            file.write(tensors, facts)
        except TrainingError as error:
            raise TrainingError(str(error), self._so_far()) from error

    def _check_weights(self, number: int) -> None:
        """Raises TrainingError where the last step of a loss that was a number spoilt them."""
        if not self.learner.finite():
            raise self._lost(f"a weight became NaN or infinite in epoch {number}")

    def _lost(self, what: str) -> TrainingError:
        """The error of a training that cannot go on, with the last good epoch in it."""
        kept = f"the weights of epoch {len(self.history)} are kept" if self.history else ""
        if kept and self.file is not None:
            kept += f" in {self.file.path}"
        self.learner.restore(self.good)
        return TrainingError(
            f"{what}; {kept + ': ' if kept else ''}train again with a smaller learning rate than "
            f"{self.recipe.lr:g}.",
            self._so_far() if self.history else None,
        )

    def _so_far(self) -> nn.Module:
        return copy.deepcopy(self.trained().model)


def _looks(batches: int) -> frozenset[int]:
    """After which batches of an epoch a collapse is looked for, from 1."""
    return frozenset(
        -(-batches * turn // overfitting.LOOKS) for turn in range(1, overfitting.LOOKS + 1)
    )


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": each for name, each in tensors.items()}
