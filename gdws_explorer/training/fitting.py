"""A whole training, from the first epoch or from a checkpoint to the last epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.data_checks import check_data, data_fingerprint
from gdws_explorer.robust.evaluation_checkpoint import model_digest
from gdws_explorer.training.augment import crop_and_flip
from gdws_explorer.training.callbacks import EpochInfo, StatefulCallback, TrainingResult
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_state import Penalty, TrainState
from gdws_explorer.training.trainer import Images, Trainer
from gdws_explorer.training.training_checkpoint import Checkpoint
from gdws_explorer.typing import AnyProgressFn, Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import progress_fn
from gdws_explorer.utils.sampling import balanced_sample


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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> TrainingResult:
    """Trains a copy of `model`; `model` and torch's random state stay as they are.

    A submodule in eval mode inside a training model stays in eval mode (a frozen BatchNorm), and a
    parameter that requires no gradient is not trained.

    Parameters
    ----------
    model : torch.nn.Module
        Images `(B, C, H, W)` in [0, 1] to class scores `(B, classes)`.
    data : pair
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`.
    recipe : Recipe
        The method and all its settings.
    augment : callable, optional
        Images `(B, C, H, W)` to images, applied before the attack, in place of the recipe's crops
        and flips; it may use torch's generator.
    penalty : callable, optional
        The training copy to a number that is added to the loss of every step.
    after_epoch : callable, optional
        Called with an `EpochInfo` after every epoch and its validation, before the checkpoint is
        written.
    extra : StatefulCallback, optional
        State of `penalty` and `after_epoch`, saved in the checkpoint.
    about : mapping, optional
        Settings of `penalty` and `after_epoch`, JSON-ready; they identify the training.
    device : str, torch.device or None
        Where to train; None for the model's device. The result is on the model's device.
    checkpoint : path, optional
        A file that is written after every epoch. If it holds this training (network, data, recipe,
        `about`), the training goes on from there, on the same device to the same weights.
    progress : callable, optional
        Called after every step with a `Progress` whose detail is a `StepInfo`.
    cancel : threading.Event or callable, optional
        A request to stop, checked before every forward pass.

    Returns
    -------
    TrainingResult
        The trained copy and its history.

    Raises
    ------
    ModelError, DataError
        The model, the data or a setting cannot be used.
    TrainingError
        The loss became NaN or infinite, or a checkpoint cannot be written or continued.
    Cancelled
        `cancel` requested a stop.
    """
    with torch.inference_mode(False), torch.enable_grad():
        images, labels = check_data(data)
        state = TrainState(model, recipe, penalty, cancel, device)
        file = None
        if checkpoint is not None:
            identity = {
                "network": model_digest(own_copy(model, trainable=True)),
                "data": data_fingerprint(images.cpu(), labels.cpu()),
                "recipe": recipe.to_dict(),
                "augment": None if augment is None else _name(augment),
                "device": state.device.type,
                "about": dict(about or {}),
            }
            file = Checkpoint(checkpoint, identity)
        trainer = Trainer(
            state,
            *split(images, labels, recipe),
            recipe,
            file,
            extra,
            augment=augment or (crop_and_flip if recipe.augment else None),
            after_epoch=after_epoch,
            progress=progress_fn(progress),
            cancel=cancel,
        )
        with state.deterministic():
            trainer.resume()
            while not trainer.finished:
                trainer.run_epoch()
        stop_if(cancel)
    return trainer.result()


def split(images: Tensor, labels: Tensor, recipe: Recipe) -> tuple[Images, Images | None]:
    """Returns the images to learn from and the held-out images, or None; classes are balanced."""
    count = recipe.held_out(len(labels))
    if count == 0:
        return (images, labels), None
    if count >= len(labels):
        raise DataError(
            f"validation={recipe.validation:g} of {len(labels)} images leaves none to learn from; "
            "give more images, or validation=0."
        )
    held_out = balanced_sample(labels, count, recipe.seed).to(labels.device)
    rest = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    rest[held_out] = False
    where = images.device
    return (images[rest.to(where)], labels[rest]), (images[held_out.to(where)], labels[held_out])


def _name(function: object) -> str:
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}.{owner.__qualname__}"
