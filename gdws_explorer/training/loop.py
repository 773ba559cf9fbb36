"""Training from the first epoch, or from a checkpoint, to the last."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, TrainingError
from gdws_explorer.robust.evaluate import evaluate
from gdws_explorer.robust.guard import Cancel, asked_to_stop, dtype_of, own_copy, own_randomness
from gdws_explorer.robust.images import check_data, choose, data_fingerprint
from gdws_explorer.robust.resume import model_digest
from gdws_explorer.training import overfit
from gdws_explorer.training.augment import crop_and_flip
from gdws_explorer.training.checkpoints import Checkpoint
from gdws_explorer.training.history import Entry, Validation
from gdws_explorer.training.learner import Learner, Penalty, part
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.schedule import rates

HARDEST = 4  # gradient steps that "fast" goes up to before it gives in


@dataclass(frozen=True, eq=False)
class Epoch:
    """What `after_epoch` is given.

    number : from 1, of `epochs`. model : the training copy itself, in the modes it learns in; what
        is changed in it, in place, is what the next epoch begins with and the checkpoint holds.
    answer : what would be returned of it: its average, or the same object. entry : what happened.
    """

    number: int
    epochs: int
    model: nn.Module
    answer: nn.Module
    entry: Entry


@dataclass(frozen=True)
class Known:
    """What is known after a step.

    epoch : under way, from 1. step : of the whole training, from 1. loss : of this step.
    history : the epochs before, with their validation; those before a checkpoint too.
    """

    epoch: int
    step: int
    loss: float
    history: tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training.

    model : the trained copy, in eval mode. history : what happened in every epoch. best : number
        of the epoch whose weights these are, the last one where nothing was held out.
    precision : what was computed in, such as "float32" or "bfloat16".
    """

    model: nn.Module
    history: tuple[Entry, ...]
    best: int
    recipe: Recipe
    precision: str


class Extra(Protocol):
    """State of somebody who trains with a penalty; saved in the checkpoint, and put back."""

    def capture(self) -> Mapping[str, Tensor]:
        """The tensors, by name."""

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Be as `capture` found it."""


def fit(
    model: nn.Module,
    data: tuple[Any, Any],
    recipe: Recipe,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    penalty: Penalty | None = None,
    after_epoch: Callable[[Epoch], None] | None = None,
    extra: Extra | None = None,
    about: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[float, Known], None] | None = None,
    cancel: Cancel = None,
) -> Trained:
    """Train a copy of `model`; `model` and torch's random numbers stay as they are.

    A submodule that is in eval mode inside a training model stays so (a frozen BatchNorm), and a
    parameter that requires no gradient is not trained.

    Parameters
    ----------
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`.
    augment : images `(B, C, H, W)` to images, before the attack, instead of the recipe's crops and
        flips; may use torch's generator.
    penalty : the training copy to a number that is added to the loss of every step.
    after_epoch : called after every epoch and its validation, before the checkpoint is written.
    extra : state of whoever gives `penalty` and `after_epoch`; about : their settings, JSON-ready.
    checkpoint : a file, written after every epoch. Where it holds this very training (network,
        data, recipe, `about`) it goes on from there, on the same device to the same weights.
    progress : called with (fraction done, what is known) after every step.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be trained. TrainingError : the loss is no number
        any more, or a checkpoint cannot be written or continued. Cancelled : `cancel` said so.
    """
    with torch.inference_mode(False), torch.enable_grad():
        images, labels = check_data(data)
        learner = Learner(model, recipe, penalty, cancel)
        file = None
        if checkpoint is not None:
            identity = {
                "network": model_digest(own_copy(model)),
                "data": data_fingerprint(images.cpu(), labels.cpu()),
                "recipe": recipe.to_dict(),
                "augment": None if augment is None else _name(augment),
                "device": learner.device.type,
                "about": dict(about or {}),
            }
            file = Checkpoint(checkpoint, identity)
        run = _Run(learner, images, labels, recipe, file, extra)
        run.augment = augment or (crop_and_flip if recipe.augment else None)
        run.after_epoch, run.progress, run.cancel = after_epoch, progress, cancel
        with own_randomness(learner.device), learner.deterministic():
            torch.manual_seed(recipe.seed)
            run.resume()
            while not run.done:
                run.epoch()
        asked_to_stop(cancel)
    return run.trained()


class _Run:
    """One training under way."""

    augment: Callable[[Tensor], Tensor] | None
    after_epoch: Callable[[Epoch], None] | None
    progress: Callable[[float, Known], None] | None
    cancel: Cancel

    def __init__(
        self,
        learner: Learner,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        file: Checkpoint | None,
        extra: Extra | None,
    ) -> None:
        self.learner, self.recipe, self.file, self.extra = learner, recipe, file, extra
        learned, self.held = split(images, labels, recipe)
        self.x = learned[0].to(learner.device, dtype_of(learner.network))
        self.y = learned[1].to(learner.device)
        self.size = min(recipe.batch_size, len(self.y))
        self.batches = len(self.y) // self.size
        self.rates = rates(recipe, recipe.epochs * self.batches)
        self.history: list[Entry] = []
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
            self.history = [Entry.from_dict(each) for each in facts["history"]]
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
        if not self.learner.finite():
            raise self._lost(f"a weight became NaN or infinite in epoch {number}")
        entry = self._validated(entry)
        entry = replace(entry, seconds=round(time.perf_counter() - started, 3))
        self.history.append(entry)
        if self.after_epoch is not None:
            answer = self.learner.answer
            self.after_epoch(Epoch(number, self.recipe.epochs, self.learner.network, answer, entry))
        self.good = self.learner.capture()
        if self.file is not None:
            self._write(self.file)

    def trained(self) -> Trained:
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
        return Trained(model.eval(), tuple(self.history), best, self.recipe, precision)

    # -- an epoch ------------------------------------------------------------------------------

    def _learn(self, number: int) -> Entry:
        """The epoch's steps; where "fast" collapses, again with one gradient step more."""
        notes: list[str] = []
        while True:
            found = self._pass(number)
            if isinstance(found, Entry):
                return replace(found, note="; ".join(notes) or None)
            strike = self.learner.recipe.strike
            steps = getattr(strike, "steps", 1) + 1
            if steps > HARDEST:
                raise self._lost(f"{found}, in epoch {number} again")
            notes.append(f"{found}; the epoch began anew with {steps} gradient steps")
            self.learner.restore(self.good)
            self.learner.harden(steps)

    def _pass(self, number: int) -> Entry | str:
        """Every batch once: what happened, or why the epoch must be done again."""
        recipe, learner = self.recipe, self.learner
        looks = _looks(self.batches) if recipe.method == "fast" else frozenset()
        strike, judge = learner.recipe.strike, recipe.judge
        total, right = 0.0, 0
        order = torch.randperm(len(self.y))[: self.batches * self.size].to(learner.device)
        for index, batch in enumerate(order.split(self.size), 1):
            x, y = self.x[batch], self.y[batch]
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
                known = Known(number, learner.steps, value, tuple(self.history))
                self.progress(learner.steps / len(self.rates), known)
            if index in looks and strike is not None and judge is not None:
                found = overfit.collapsed(learner.network, x, y, strike, judge, self.cancel)
                if found is not None:
                    return found
        forwards = getattr(strike, "steps", None)
        if recipe.method == "trades":
            forwards = recipe.steps or 10
        return Entry(
            number, learner.steps, total / self.batches, len(order), right, lr, 0.0,
            attack_steps=forwards,
        )  # fmt: skip

    def _validated(self, entry: Entry) -> Entry:
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


def split(
    images: Tensor, labels: Tensor, recipe: Recipe
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
    """What is learned from, and what is held out, with the classes as equal as they can be."""
    if recipe.validation == 0:
        return (images, labels), None
    count = max(1, round(recipe.validation * len(labels)))
    if count >= len(labels):
        raise DataError(
            f"a share {recipe.validation:g} of {len(labels)} images leaves none to learn from; "
            "give more images, or validation=0."
        )
    held = choose(labels, count, recipe.seed).to(labels.device)
    rest = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    rest[held] = False
    where = images.device
    return (images[rest.to(where)], labels[rest]), (images[held.to(where)], labels[held])


def _looks(batches: int) -> frozenset[int]:
    """After which batches of an epoch a collapse is looked for, from 1."""
    return frozenset(-(-batches * turn // overfit.LOOKS) for turn in range(1, overfit.LOOKS + 1))


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": each for name, each in tensors.items()}


def _name(function: object) -> str:
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}.{owner.__qualname__}"
