"""The learning rate of every step, known before the first."""

from __future__ import annotations

import math

import torch

from gdws_explorer.training.recipe import Recipe

RISE = 0.2  # share of the steps in which one cycle goes up


def rates(recipe: Recipe, steps: int) -> list[float]:
    """The learning rates of `steps` steps.

    A table has no state: a training that goes on from a checkpoint needs the step's number only.
    """
    if recipe.schedule == "cosine":
        return [recipe.lr / 2 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    rise = RISE if RISE * (steps + 1) > 1 else 0.5 / (steps + 1)  # too few steps go down at once
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.lr, total_steps=steps + 1, pct_start=rise, cycle_momentum=False
    )
    found = []
    for _ in range(steps):
        found.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        cycle.step()
    return found
