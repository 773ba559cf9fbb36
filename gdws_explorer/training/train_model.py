"""The public function: a trained copy of a model, by a recipe or by its settings."""

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
from gdws_explorer.typing import Cancel


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
    progress: Callable[[float, float], None] | None = None,
    cancel: Cancel = None,
    **settings: Any,
) -> nn.Module:
    """A trained copy of `model`, in eval mode; `model` and torch's random numbers stay as they are.

        gx.train(model, data, gx.PGD(8/255, 10), epochs=30, lr=0.1)
        gx.train(model, data, method="trades", eps=8/255, epochs=30, lr=0.1, validation=0.02)

    Parameters
    ----------
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`.
    attack : what the images are attacked with: short for method="pgd" and this attack.
    recipe : how to train; settings : fields of `Recipe`, in its place or instead of some of its.
    augment : True for the recipe's random crops and flips, or images `(B, C, H, W)` to images.
    after_epoch : called with what happened after every epoch (`Epoch`), before it is saved.
    device : where to train, as in `training.fit`.
    checkpoint : a file to go on from when the training is killed, as in `training.fit`.
    progress : called with (fraction done, loss) after every step.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be trained. TrainingError : the loss is no number
        any more, or the checkpoint cannot be used. Cancelled : `cancel` said so.
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        raise DataError(f"the recipe is {type(recipe).__name__}; expected a gx.Recipe or None.")
    told = {} if recipe is None else recipe.to_dict()
    if attack is not None:
        check_attack(attack)
        told |= {"method": "pgd", "attack": attack, "eps": None, "steps": None, "step_size": None}
    if isinstance(augment, bool):
        told["augment"] = augment
    tell = None
    if progress is not None:
        given = progress

        def tell(fraction: float, known: StepInfo) -> None:
            given(fraction, known.loss)

    return fit(
        model,
        data,
        Recipe.from_dict({**told, **settings}),
        augment=augment if callable(augment) else None,
        after_epoch=after_epoch,
        device=device,
        checkpoint=checkpoint,
        progress=tell,
        cancel=cancel,
    ).model
