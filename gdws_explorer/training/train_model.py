"""The public function `train`: a trained copy of a model, by a recipe or by its settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import check_attack
from gdws_explorer.training.callbacks import EpochInfo, StepInfo
from gdws_explorer.training.fitting import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import AnyProgressFn, Cancel
from gdws_explorer.utils.progress import progress_fn


def train(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | None = None,
    *,
    recipe: Recipe | None = None,
    augment: Callable[[Tensor], Tensor] | bool | None = None,
    after_epoch: Callable[[EpochInfo], None] | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
    **settings: Any,
) -> nn.Module:
    """Trains a copy of `model`; `model` and torch's random state stay as they are.

        gx.train(model, data, gx.PGD(8/255, 10), epochs=30, lr=0.1)
        gx.train(model, data, method="trades", eps=8/255, epochs=30, lr=0.1, validation=0.02)

    Parameters
    ----------
    model : torch.nn.Module
        Images `(B, C, H, W)` in [0, 1] to class scores `(B, classes)`.
    data : pair
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`.
    attack : Attack, optional
        The attack on the images learned from: short for method="pgd" with this attack.
    recipe : Recipe, optional
        The method and all its settings.
    **settings
        Fields of `Recipe`, in place of `recipe` or to change some of its fields.
    augment : bool or callable, optional
        True for the recipe's random crops and flips, or images `(B, C, H, W)` to images.
    after_epoch : callable, optional
        Called with an `EpochInfo` after every epoch, before it is saved.
    device : str, torch.device or None
        Where to train; None for the model's device. The result is on the model's device.
    checkpoint : path, optional
        A file that is written after every epoch, and from which the same training goes on.
    progress : callable, optional
        Called after every step with a `Progress` whose detail is a `StepInfo`. A function of two
        arguments is called with (finished fraction, loss).
    cancel : threading.Event or callable, optional
        A request to stop, checked before every forward pass.

    Returns
    -------
    torch.nn.Module
        The trained copy, in eval mode.

    Raises
    ------
    ModelError, DataError
        The model, the data or a setting cannot be used.
    TrainingError
        The loss became NaN or infinite, or the checkpoint cannot be used.
    Cancelled
        `cancel` requested a stop.
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        raise DataError(f"the recipe is {type(recipe).__name__}; expected a gx.Recipe or None.")
    fields = {} if recipe is None else recipe.to_dict()
    if attack is not None:
        check_attack(attack)
        fields |= {"method": "pgd", "attack": attack, "eps": None, "steps": None, "step_size": None}
    if isinstance(augment, bool):
        fields["augment"] = augment
    return fit(
        model,
        data,
        Recipe.from_dict({**fields, **settings}),
        augment=augment if callable(augment) else None,
        after_epoch=after_epoch,
        device=device,
        checkpoint=checkpoint,
        progress=progress_fn(progress, second=_loss),
        cancel=cancel,
    ).model


def _loss(info: StepInfo) -> float:
    return info.loss
