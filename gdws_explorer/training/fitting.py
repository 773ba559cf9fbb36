"""Training from the first epoch, or from a checkpoint, to the last."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.data_checks import balanced_sample, check_data, data_fingerprint
from gdws_explorer.robust.evaluation_checkpoint import model_digest
from gdws_explorer.training.augment import crop_and_flip
from gdws_explorer.training.callbacks import EpochInfo, StatefulCallback, StepInfo, TrainingResult
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_state import Penalty, TrainState
from gdws_explorer.training.trainer import Images, Trainer
from gdws_explorer.training.training_checkpoint import Checkpoint
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.modules import own_copy


def fit(
    model: nn.Module,
    data: tuple[Any, Any],
    recipe: Recipe,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    penalty: Penalty | None = None,
    after_epoch: Callable[[EpochInfo], None] | None = None,
    extra: StatefulCallback | None = None,
    about: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[float, StepInfo], None] | None = None,
    cancel: Cancel = None,
) -> TrainingResult:
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
    device : where to train; the model's device unless given. What is returned is on the model's.
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
        learner = TrainState(model, recipe, penalty, cancel, device)
        file = None
        if checkpoint is not None:
            identity = {
                "network": model_digest(own_copy(model, trainable=True)),
                "data": data_fingerprint(images.cpu(), labels.cpu()),
                "recipe": recipe.to_dict(),
                "augment": None if augment is None else _name(augment),
                "device": learner.device.type,
                "about": dict(about or {}),
            }
            file = Checkpoint(checkpoint, identity)
        run = Trainer(learner, *split(images, labels, recipe), recipe, file, extra)
        run.augment = augment or (crop_and_flip if recipe.augment else None)
        run.after_epoch, run.progress, run.cancel = after_epoch, progress, cancel
        with learner.deterministic():
            run.resume()
            while not run.done:
                run.epoch()
        stop_if(cancel)
    return run.trained()


def split(images: Tensor, labels: Tensor, recipe: Recipe) -> tuple[Images, Images | None]:
    """What is learned from, and what is held out, with the classes as equal as they can be."""
    if recipe.validation == 0:
        return (images, labels), None
    count = max(1, round(recipe.validation * len(labels)))
    if count >= len(labels):
        raise DataError(
            f"a share {recipe.validation:g} of {len(labels)} images leaves none to learn from; "
            "give more images, or validation=0."
        )
    held = balanced_sample(labels, count, recipe.seed).to(labels.device)
    rest = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    rest[held] = False
    where = images.device
    return (images[rest.to(where)], labels[rest]), (images[held.to(where)], labels[held])


def _name(function: object) -> str:
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}.{owner.__qualname__}"
