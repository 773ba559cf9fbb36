"""The learning rate of every step, known before the first."""

from __future__ import annotations

import math

from gdws_explorer.training.recipe import Recipe

RISE = 0.2  # share of the steps in which one cycle goes up
FIRST, LAST = 1 / 25, 1 / 25e4  # of the highest rate: where a cycle begins and where it ends


def rates(recipe: Recipe, steps: int) -> list[float]:
    """The learning rates of `steps` steps.

    A table has no state: a training that goes on from a checkpoint needs the step's number only.
    "onecycle" is torch's OneCycleLR over one step more, which is never taken.
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


def _between(start: float, end: float, share: float) -> float:
    """From start to end as half a cosine goes; share in [0, 1]."""
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)
