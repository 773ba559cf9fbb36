"""Training, plain or against an attack (Madry et al., ICLR 2018), on a copy of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.robust.attacks import Attack, check_attack
from gdws_explorer.robust.guard import (
    Cancel,
    Watched,
    asked_to_stop,
    device_of,
    dtype_of,
    grads_off,
    modes_kept,
    own_copy,
    own_randomness,
    place,
)
from gdws_explorer.robust.images import check_data, check_logits


def train(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | None = None,
    *,
    epochs: int,
    lr: float,
    batch_size: int = 64,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    clean_weight: float = 0.0,
    label_smoothing: float = 0.0,
    average: float | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[float, float], None] | None = None,
    cancel: Cancel = None,
) -> nn.Module:
    """A trained copy of `model`, in eval mode; `model` and torch's random numbers stay as they are.

    SGD with Nesterov momentum and one learning-rate cycle (20 % up, then a cosine down). Images
    are attacked with the network in eval mode, then learned from in train mode. A submodule that
    is in eval mode inside a training model stays so (a frozen BatchNorm), and a parameter that
    requires no gradient is not trained.

    Parameters
    ----------
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`.
    attack : what the images are attacked with, or None for plain training.
    epochs, lr : passes over the data, at least 1, and the cycle's highest learning rate.
    batch_size : images per step; what is left over at an epoch's end is left out of it.
    clean_weight : share, in [0, 1], of the loss on the images as they are; the rest is the loss
        on their attacked twins. Both halves go through BatchNorm together.
    average : decay of an exponential average of the weights, which is then what is returned;
        None returns the last weights.
    augment : images `(B, C, H, W)` to images, before the attack; may use torch's generator.
    seed : of order, noise and augmentation. Equal seeds, threads and versions, equal weights.
    device : where to train; the model's device unless given. The copy comes back on the model's.
    progress : called with (fraction done, loss) after every step.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be trained. Cancelled : `cancel` said so.
    """
    _check_options(attack, epochs, lr, batch_size, clean_weight, average)
    with torch.inference_mode(False), torch.enable_grad():
        mine = own_copy(model)
        if not mine.training:
            mine.train()
        home, where = device_of(mine), place(device, mine)
        mine = mine.to(where)
        images, labels = check_data(data)
        x, y = images.to(where, dtype_of(mine)), labels.to(where)
        size = min(batch_size, len(y))
        steps = epochs * (len(y) // size)
        trained = [each for each in mine.parameters() if each.requires_grad]
        if not trained:
            raise ModelError("no parameter of the model requires a gradient; nothing to train.")
        optimiser = torch.optim.SGD(
            trained, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=lr, total_steps=steps + 1, pct_start=0.2, cycle_momentum=False
        )
        watched = Watched(mine, cancel)
        strike = None if attack is None else attack.bind(watched)
        mean = None if average is None else copy.deepcopy(mine)
        step = 0
        with own_randomness(where):
            torch.manual_seed(seed)
            for _ in range(epochs):
                order = torch.randperm(len(y))[: len(y) // size * size].to(where)
                for batch in order.split(size):
                    seen = x[batch] if augment is None else augment(x[batch])
                    loss = _loss(watched, strike, seen, y[batch], clean_weight, label_smoothing)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                    step += 1
                    if mean is not None and average is not None:
                        _follow(mean, mine, min(average, (1 + step) / (10 + step)))
                    if progress is not None:
                        progress(step / steps, float(loss.detach()))
        asked_to_stop(cancel)
    for parameter in mine.parameters():
        parameter.grad = None
    return (mine if mean is None else mean).to(home).eval()


def _loss(
    watched: Watched,
    strike: Callable[[Tensor, Tensor], Tensor] | None,
    x: Tensor,
    y: Tensor,
    clean_weight: float,
    label_smoothing: float,
) -> Tensor:
    if strike is None:
        scores = check_logits(watched(x), y)
        return F.cross_entropy(scores, y, label_smoothing=label_smoothing)
    with modes_kept(watched), grads_off(watched):
        watched.eval()
        attacked = strike(x, y)
    if clean_weight == 0:
        scores = check_logits(watched(attacked), y)
        return F.cross_entropy(scores, y, label_smoothing=label_smoothing)
    both = check_logits(watched(torch.cat([x, attacked])), torch.cat([y, y]))
    clean, robust = both.chunk(2)
    return clean_weight * F.cross_entropy(clean, y, label_smoothing=label_smoothing) + (
        1 - clean_weight
    ) * F.cross_entropy(robust, y, label_smoothing=label_smoothing)


@torch.no_grad()
def _follow(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and BatchNorm statistics towards the model's."""
    for slow, fast in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


def _check_options(
    attack: object,
    epochs: int,
    lr: float,
    batch_size: int,
    clean_weight: float,
    average: float | None,
) -> None:
    if attack is not None:
        check_attack(attack)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DataError(f"{name} is {value!r}; expected a whole number from 1 up.")
    if not lr > 0:
        raise DataError(f"lr is {lr!r}; expected a positive learning rate.")
    if not 0 <= clean_weight <= 1:
        raise DataError(f"clean_weight is {clean_weight!r}; expected a share from 0 to 1.")
    if average is not None and not 0 < average < 1:
        raise DataError(f"average is {average!r}; expected a decay between 0 and 1, or None.")
