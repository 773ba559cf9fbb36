"""Projected gradient ascent that lets go of an image as soon as the network is wrong on it.

The steps are those of torchattacks' PGD and PGDL2 (Madry et al., ICLR 2018), in the same order of
operations; what differs is that fooled images leave the batch, and that an image counts as fooled
at the first iterate that fools it instead of at the last one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdws_explorer.robust.attacks import PGD

TINY = 1e-10  # as torchattacks divides by a gradient's norm
Right = Callable[[Tensor, Tensor], Tensor]


def still_correct(
    model: nn.Module,
    attack: PGD,
    x: Tensor,
    y: Tensor,
    alive: Tensor,
    most: int,
    right: Right,
    twins: Tensor | None = None,
) -> Tensor:
    """Which of the images `alive` the network is still right on, bool `(B,)`.

    model : images `(B, C, H, W)` to scores `(B, classes)`, its parameters without gradients.
    x, y : a whole batch. The noise is drawn for all of it, so that every image meets its own
    whoever stands beside it. alive : bool `(B,)`. most : images at once. right : scores and labels
    to a verdict, bool `(B,)`. twins : like x; takes the attacked twin of every image `alive`: the
    last iterate that fooled the network, the last one where none did. Then fooled images stay to
    the end, for the verdict would be known but twins just past the boundary fool no other network.
    """
    alive = alive.clone()
    stay = twins is not None
    for _ in range(attack.restarts):
        start = _start(attack, x)
        for piece in chunks(alive, most):
            good, found = _climb(model, attack, x[piece], y[piece], start[piece], right, stay)
            alive[piece] = good
            if twins is not None:
                twins[piece] = found
    return alive


def chunks(alive: Tensor, most: int) -> tuple[Tensor, ...]:
    """Where `alive` holds, at most so many places at a time; none where it never does."""
    places = alive.nonzero()[:, 0]
    return torch.split(places, most) if len(places) else ()


def _climb(
    model: nn.Module, attack: PGD, x: Tensor, y: Tensor, at: Tensor, right: Right, stay: bool
) -> tuple[Tensor, Tensor]:
    """The verdict on every image of one piece after all steps, and its twin.

    stay : take all steps with fooled images too.
    """
    verdict = torch.ones(len(x), dtype=torch.bool, device=x.device)
    twins = at.clone()
    here = torch.arange(len(x), device=x.device)
    for step in range(attack.steps + 1):
        at = at.detach().requires_grad_(True)
        scores = model(at)
        good = right(scores.detach(), y).to(x.device)
        verdict[here[~good]] = False
        taken = ~good | verdict[here]
        twins[here[taken]] = at.detach()[taken]
        on = torch.ones_like(good) if stay else good
        if step == attack.steps or not on.any():
            break
        (slope,) = torch.autograd.grad(F.cross_entropy(scores, y, reduction="sum"), at)
        here, x, y = here[on], x[on], y[on]
        at = _step(attack, x, at.detach()[on], slope[on])
    return verdict, twins


def _start(attack: PGD, x: Tensor) -> Tensor:
    """Where the attack on every image begins, drawn as torchattacks draws it."""
    if not attack.random_start:
        return x
    if attack.norm == "linf":
        return (x + torch.empty_like(x).uniform_(-attack.eps, attack.eps)).clamp(0, 1)
    delta = torch.empty_like(x).normal_()
    norms = delta.flatten(1).norm(dim=1)[:, None, None, None]
    delta *= torch.zeros_like(norms).uniform_(0, 1) / norms * attack.eps
    return (x + delta).clamp(0, 1)


def _step(attack: PGD, x: Tensor, at: Tensor, slope: Tensor) -> Tensor:
    """One step uphill, and back into the ball and into [0, 1]."""
    assert attack.step_size is not None
    if attack.norm == "linf":
        at = at + attack.step_size * slope.sign()
        return (x + (at - x).clamp(-attack.eps, attack.eps)).clamp(0, 1)
    norms = slope.flatten(1).norm(dim=1) + TINY
    delta = at + attack.step_size * (slope / norms[:, None, None, None]) - x
    within = (attack.eps / delta.flatten(1).norm(dim=1)).clamp(max=1)
    return (x + delta * within[:, None, None, None]).clamp(0, 1)
