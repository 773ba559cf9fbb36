"""The epochs of one training: steps, validation, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

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
from gdws_explorer.training.train_state import TrainState, copied_state, without_prefix
from gdws_explorer.training.training_checkpoint import Checkpoint
from gdws_explorer.typing import Cancel, Progress, ProgressFn
from gdws_explorer.utils.devices import as_images, dtype_of

Images = tuple[Tensor, Tensor]
MOST_ATTACK_STEPS = 3  # of "fast": an attack of three steps is not known to be overfitted


class Trainer:
    """The epochs of one training.

    state : the network and its optimizer. training_data : the images learned from. held_out : the
        images for validation, or None.
    checkpoint : the file to write after every epoch, or None. extra : state to save with it.
    augment : images to images, or None. after_epoch, progress : called after every epoch and step.
    """

    def __init__(
        self,
        state: TrainState,
        training_data: Images,
        held_out: Images | None,
        recipe: Recipe,
        checkpoint: Checkpoint | None = None,
        extra: StatefulCallback | None = None,
        *,
        augment: Callable[[Tensor], Tensor] | None = None,
        after_epoch: Callable[[EpochInfo], None] | None = None,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> None:
        self.state, self.recipe = state, recipe
        self.history: list[EpochRecord] = []
        self._held_out = held_out
        self._checkpoint, self._extra = checkpoint, extra
        self._augment, self._after_epoch = augment, after_epoch
        self._progress, self._cancel = progress, cancel
        self._x = as_images(state.network, training_data[0])
        self._y = training_data[1].to(state.device)
        self._batch_size = min(recipe.batch_size, len(self._y))
        self._batches = len(self._y) // self._batch_size
        self._rates = learning_rates(recipe, recipe.epochs * self._batches)
        self._best: tuple[int, dict[str, Any]] | None = None  # number and weights of the epoch
        self._good = state.capture()  # after the last epoch without an error

    def resume(self) -> None:
        """Restores the state of the checkpoint, if there is one; raises TrainingError."""
        found = None if self._checkpoint is None else self._checkpoint.read()
        if found is None:
            if self._checkpoint is not None:
                self._checkpoint.check_space({**self._good, **_prefixed("best.", self._good)})
            return
        tensors, facts = found
        try:
            self.history = [EpochRecord.from_dict(each) for each in facts["history"]]
            if facts["attack_steps"] is not None:
                self.state.set_attack_steps(facts["attack_steps"])
            self.state.restore(tensors)
            if facts["best"] is not None:
                self._best = (facts["best"], without_prefix(tensors, "best."))
            if self._extra is not None:
                self._extra.restore(without_prefix(tensors, "extra."))
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            assert self._checkpoint is not None
            raise TrainingError(
                f"{self._checkpoint.path} does not fit this training ({error}); delete it to begin "
                "anew."
            ) from error
        self._good = self.state.capture()

    @property
    def finished(self) -> bool:
        """Whether the last epoch, or the patience, is over."""
        number, patience = len(self.history), self.recipe.patience
        if self._best is not None and patience is not None and number - self._best[0] >= patience:
            return True
        return number >= self.recipe.epochs

    def run_epoch(self) -> None:
        """Trains one epoch, validates it, calls `after_epoch` and writes the checkpoint."""
        started = time.perf_counter()
        number = len(self.history) + 1
        entry = self._train_epoch(number)
        self._check_weights(number)
        entry = self._validate(entry)
        entry = replace(entry, seconds=round(time.perf_counter() - started, 3))
        self.history.append(entry)
        if self._after_epoch is not None:
            state = self.state
            self._after_epoch(
                EpochInfo(number, self.recipe.epochs, state.network, state.result, entry)
            )
        self._good = self.state.capture()
        if self._checkpoint is not None:
            self._write(self._checkpoint)

    def result(self) -> TrainingResult:
        """Returns the network with the weights of the best epoch, or of the last."""
        model = self.state.result
        best = len(self.history)
        if self._best is not None:
            best, weights = self._best
            model.load_state_dict(weights)
        for parameter in model.parameters():
            parameter.grad = None
        if self.state.half is not None:
            model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        precision = str(self.state.half or dtype_of(model)).removeprefix("torch.")
        model = model.to(self.state.original_device).eval()
        return TrainingResult(model, tuple(self.history), best, self.recipe, precision)

    # -- an epoch ------------------------------------------------------------------------------

    def _train_epoch(self, number: int) -> EpochRecord:
        """Takes the steps of an epoch; repeats it with more attack steps after overfitting."""
        notes: list[str] = []
        while True:
            found = self._train_batches(number)
            if isinstance(found, EpochRecord):
                return replace(found, note="; ".join(notes) or None)
            steps = getattr(self.state.recipe.training_attack, "steps", 1) + 1
            notes.append(f"{found}; the epoch began anew with {steps} gradient steps")
            self.state.restore(self._good)
            self.state.set_attack_steps(steps)

    def _train_batches(self, number: int) -> EpochRecord | str:
        """Trains on every batch once; returns the epoch, or why it must be repeated."""
        recipe, state = self.recipe, self.state
        attack = state.recipe.training_attack
        attack_steps = getattr(attack, "steps", None)
        checks: frozenset[int] = frozenset()
        if recipe.method == "fast" and attack_steps is not None and (
            attack_steps < MOST_ATTACK_STEPS
        ):  # fmt: skip
            checks = _overfitting_checks(self._batches)
        total, right = 0.0, 0
        with state.random.drawing():
            order = torch.randperm(len(self._y))[: self._batches * self._batch_size]
            order = order.to(state.device)
        for index, batch in enumerate(torch.split(order, self._batch_size), 1):
            x, y = self._x[batch], self._y[batch]
            with state.random.drawing():
                x = x if self._augment is None else self._augment(x)
                loss, correct = state.loss(x, y)
            value = float(loss.detach())
            if not math.isfinite(value):
                cause = (
                    f"the loss became {value} at step {state.steps + 1} of {len(self._rates)} "
                    f"(epoch {number}, batch {index})"
                )
                if state.overflow is not None:
                    cause = f"{cause}: {state.overflow.rstrip('.')}"
                raise self._diverged(cause)
            lr = self._rates[state.steps]
            state.step(loss, lr)
            total, right = total + value, right + correct
            if self._progress is not None:
                info = StepInfo(number, state.steps, value, tuple(self.history))
                self._progress(Progress(state.steps / len(self._rates), info))
            if index in checks:
                found = self._overfitted(number, x, y)
                if found is not None:
                    return found
        if recipe.method == "trades":
            attack_steps = recipe.steps or 10
        return EpochRecord(
            number, state.steps, total / self._batches, len(order), right, lr, 0.0,
            attack_steps=attack_steps,
        )  # fmt: skip

    def _overfitted(self, number: int, x: Tensor, y: Tensor) -> str | None:
        """Returns a note if the network overfits the training attack catastrophically."""
        easy, hard = self.state.recipe.training_attack, self.recipe.validation_attack
        if easy is None or hard is None:
            return None
        self._check_weights(number)
        with self.state.random.drawing():
            return overfitting.catastrophic_overfitting(
                self.state.network, x, y, easy, hard, self._cancel
            )

    def _validate(self, entry: EpochRecord) -> EpochRecord:
        """Measures the network on the held-out images, and stores the best weights so far."""
        if self._held_out is None:
            return entry
        network, attack = self.state.result, self.recipe.validation_attack
        report = evaluate(
            network, self._held_out, attack, seed=self.recipe.seed, cancel=self._cancel
        )
        found = Validation.of(report)
        before = None if self._best is None else self.history[self._best[0] - 1].validation
        if before is None or found.rank >= before.rank:
            self._best = (entry.number, copied_state(network.state_dict()))
        return replace(entry, validation=found)

    # -- checkpoints and errors ----------------------------------------------------------------

    def _write(self, checkpoint: Checkpoint) -> None:
        tensors = dict(self._good)
        if self._best is not None:
            tensors |= _prefixed("best.", self._best[1])
        if self._extra is not None:
            tensors |= _prefixed("extra.", self._extra.capture())
        recipe = self.state.recipe
        facts = {
            "history": [each.to_dict() for each in self.history],
            "best": None if self._best is None else self._best[0],
            "attack_steps": recipe.steps if recipe != self.recipe else None,
        }
        try:
            checkpoint.write(tensors, facts)
        except TrainingError as error:
            raise TrainingError(str(error), self._latest()) from error

    def _check_weights(self, number: int) -> None:
        """Raises TrainingError if a step with a finite loss made a weight NaN or infinite."""
        if not self.state.is_finite():
            raise self._diverged(f"a weight became NaN or infinite in epoch {number}")

    def _diverged(self, cause: str) -> TrainingError:
        """Returns the error of a training that cannot go on, with the last good epoch in it."""
        kept = f"the weights of epoch {len(self.history)} are kept" if self.history else ""
        if kept and self._checkpoint is not None:
            kept += f" in {self._checkpoint.path}"
        self.state.restore(self._good)
        return TrainingError(
            f"{cause}; {kept + ': ' if kept else ''}train again with a smaller learning rate than "
            f"{self.recipe.lr:g}.",
            self._latest() if self.history else None,
        )

    def _latest(self) -> nn.Module:
        return copy.deepcopy(self.result().model)


def _overfitting_checks(batches: int) -> frozenset[int]:
    """Returns the batches of an epoch, from 1, after which overfitting is checked."""
    return frozenset(
        -(-batches * turn // overfitting.CHECKS) for turn in range(1, overfitting.CHECKS + 1)
    )


def _prefixed(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": each for name, each in tensors.items()}
