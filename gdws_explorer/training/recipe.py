"""A training recipe as a value: method, schedule and held-out images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import PGD, attack_from_dict, check_attack
from gdws_explorer.utils.checks import (
    check_flag,
    checked_choice,
    checked_number,
    checked_radius,
    checked_whole,
)

METHODS = ("standard", "pgd", "trades", "fast")
SCHEDULES = ("onecycle", "cosine")
VALIDATION_STEPS = 10  # PGD-10 validates epochs and detects catastrophic overfitting


@dataclass(frozen=True)
class Recipe:
    """All settings that decide the trained weights, except network, data and device.

    SGD with momentum (Nesterov's if it is not 0). Images are attacked with the network in eval mode
    and learned from in train mode.

    method : "standard" (no attack), "pgd" (Madry et al., ICLR 2018), "trades" (Zhang et al.,
        ICML 2019) or "fast" (FGSM with a random start, Wong et al., ICLR 2020; after catastrophic
        overfitting the epoch is repeated with one gradient step more).
    epochs, lr : passes over the data, and the schedule's highest learning rate.
    batch_size : images per step; an incomplete batch at the end of an epoch is left out.
    momentum, weight_decay : of SGD.
    schedule : "onecycle" (20 % up, then a cosine down) or "cosine" (down from lr).
    eps : radius of the ℓ∞ ball for images in [0, 1]; None only without an attack.
    steps, step_size : of PGD and TRADES; by default 10 steps of 2.5·eps/steps, for "fast" one
        step of 1.25·eps.
    attack : another attack for "pgd", in place of eps, steps and step_size.
    beta : weight of TRADES' Kullback-Leibler term.
    clean_weight : weight, in [0, 1], of the loss on the clean images, in "pgd" and "fast".
    label_smoothing : in [0, 1).
    average : decay of an exponential average of the weights, which is then returned; None returns
        the weights themselves.
    augment : random crops (4 pixels of padding) and flips, for images of 32 pixels and more.
    amp : mixed precision with channels last, where the device has it.
    validation : fraction of the images held out, in [0, 0.5]. The network is measured on them after
        every epoch, under PGD-10, and the weights of the best epoch are returned.
    patience : stop after so many epochs without improvement; None trains all epochs.
    seed : of the held-out images, order, noise and augmentation.

    Raises DataError.

    Examples
    --------
    >>> Recipe("pgd", eps=8 / 255, epochs=30).training_attack.label
    'PGD-10 ℓ∞ ε 8/255'
    """

    method: str = "standard"
    epochs: int = 30
    lr: float = 0.1
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    eps: float | None = None
    steps: int | None = None
    step_size: float | None = None
    attack: Attack | None = None
    beta: float = 6.0
    clean_weight: float = 0.0
    label_smoothing: float = 0.0
    average: float | None = None
    augment: bool = False
    amp: bool = False
    validation: float = 0.0
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checked_choice("method", self.method, METHODS)
        checked_choice("schedule", self.schedule, SCHEDULES)
        for name in ("epochs", "batch_size", "steps", "patience", "seed"):
            value = getattr(self, name)
            if value is not None or name not in ("steps", "patience"):
                whole = checked_whole(name, value, 0 if name == "seed" else 1)
                object.__setattr__(self, name, whole)
        for name in ("augment", "amp"):
            check_flag("the recipe", name, getattr(self, name))
        _check_numbers(self)
        self._check_attack()

    @property
    def training_attack(self) -> Attack | None:
        """The attack on the images learned from.

        None for "standard", and for TRADES, which has an attack of its own. "fast" has more than
        one step after catastrophic overfitting.
        """
        if self.attack is not None:
            return self.attack
        if self.eps is None or self.method in ("standard", "trades"):
            return None
        if self.method == "fast":
            steps = self.steps or 1
            return PGD(self.eps, steps, self.step_size or 1.25 * self.eps / steps)
        return PGD(self.eps, self.steps or 10, self.step_size)

    @property
    def validation_attack(self) -> PGD | None:
        """The attack on the held-out images; None for training without a radius."""
        if self.attack is not None:
            return PGD(self.attack.eps, VALIDATION_STEPS, norm=self.attack.norm)
        return None if self.eps is None else PGD(self.eps, VALIDATION_STEPS)

    def held_out(self, images: int) -> int:
        """Returns how many of so many images are held out: 0, or at least 1 with validation."""
        return 0 if self.validation == 0 else max(1, round(self.validation * images))

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary; `from_dict` makes an equal recipe from it."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}
        settings["attack"] = None if self.attack is None else self.attack.to_dict()
        return settings

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Recipe:
        """Returns the recipe that `to_dict` wrote; raises DataError for unknown settings."""
        settings = dict(raw)
        unknown = sorted(settings.keys() - {each.name for each in fields(cls)})
        if unknown:
            raise DataError(
                f"unknown setting of a recipe: {', '.join(unknown)}; expected some of "
                f"{', '.join(each.name for each in fields(cls))}."
            )
        if isinstance(settings.get("attack"), Mapping):
            settings["attack"] = attack_from_dict(settings["attack"])
        return cls(**settings)

    def _check_attack(self) -> None:
        if self.attack is not None:
            check_attack(self.attack)
            if self.method != "pgd":
                raise DataError(
                    f"attack is given with method {self.method!r}; expected method 'pgd' with it."
                )
            if (self.eps, self.steps, self.step_size) != (None, None, None):
                raise DataError(
                    "attack is given with eps, steps or step_size; expected one of the two."
                )
        elif self.eps is not None:
            object.__setattr__(self, "eps", checked_radius("eps", self.eps))
        elif self.method != "standard":
            raise DataError(
                f"method {self.method!r} has no eps; give the radius of the attack, such as 8/255."
            )


def _check_numbers(recipe: Recipe) -> None:
    """Raises DataError for a number outside the limits of its field."""
    checked_number("lr", recipe.lr, "a positive learning rate", above=0)
    checked_number("momentum", recipe.momentum, "a number from 0, below 1", least=0, below=1)
    checked_number("weight_decay", recipe.weight_decay, "a number from 0 up", least=0)
    checked_number("beta", recipe.beta, "a positive number", above=0)
    share = "a fraction from 0 to 1"
    checked_number("clean_weight", recipe.clean_weight, share, least=0, most=1)
    smoothing = recipe.label_smoothing
    checked_number("label_smoothing", smoothing, "a number from 0, below 1", least=0, below=1)
    share = "a fraction of the images from 0 to 0.5"
    checked_number("validation", recipe.validation, share, least=0, most=0.5)
    if recipe.average is not None:
        decay = "a decay between 0 and 1, or None"
        checked_number("average", recipe.average, decay, above=0, below=1)
    if recipe.step_size is not None:
        checked_number("step_size", recipe.step_size, "a positive number, or None", above=0)


RISE = 0.2  # fraction of the steps in which the rate of one cycle rises
FIRST, LAST = 1 / 25, 1 / 25e4  # first and last rate of a cycle, as fractions of the highest


def learning_rates(recipe: Recipe, steps: int) -> list[float]:
    """Returns the learning rates of `steps` steps.

    A table has no state, so that a resumed training needs only the number of the step. "onecycle"
    is torch's OneCycleLR over one step more, which is never taken.
    """
    top = recipe.lr
    if recipe.schedule == "cosine":
        return [_between(top, 0.0, step / steps) for step in range(steps)]
    peak = RISE * (steps + 1) - 1
    return [
        _between(top * FIRST, top, step / peak)
        if step <= peak and peak > 0
        else _between(top, top * LAST, (step - peak) / (steps - peak))
        for step in range(steps)
    ]


def _between(start: float, end: float, fraction: float) -> float:
    """Returns a value between start and end, on half a cosine; fraction in [0, 1]."""
    return end + (start - end) / 2 * (math.cos(math.pi * fraction) + 1)
