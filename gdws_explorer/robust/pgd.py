"""PGD that stops attacking an image as soon as the network classifies it wrongly.

The steps are those of torchattacks' PGD and PGDL2 (Madry et al., ICLR 2018), in the same order of
operations. Two things differ: fooled images leave the batch, and an image counts as fooled at the
first iterate that fools it instead of at the last one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdws_explorer.robust.attacks import PGD

TINY = 1e-10  # as torchattacks divides by a gradient's norm
CorrectFn = Callable[[Tensor, Tensor], Tensor]
"""Class scores `(B, classes)` and labels `(B,)` to the correct answers, bool `(B,)`."""


def still_correct(
    model: nn.Module,
    attack: PGD,
    x: Tensor,
    y: Tensor,
    remaining: Tensor,
    batch_size: int,
    correct_fn: CorrectFn,
    examples: Tensor | None = None,
) -> Tensor:
    """Returns which of the `remaining` images are still correct under attack, bool `(B,)`.

    Parameters
    ----------
    model : images `(B, C, H, W)` to scores `(B, classes)`, its parameters without gradients.
    x, y : a whole batch. The noise is drawn for all of it, so that the noise of an image does not
        depend on which other images remain.
    remaining : the images to attack, bool `(B,)`.
    batch_size : the largest number of images in one forward pass.
    correct_fn : the decision on scores.
    examples : like x; receives the adversarial example of every remaining image: the last iterate
        that fooled the network, or the last iterate if none did. With it, all images take all
        steps: an example just past the decision boundary fools no other network.
    """
    remaining = remaining.clone()
    all_steps = examples is not None
    for _ in range(attack.restarts):
        start = _start(attack, x)
        for chunk in chunks(remaining, batch_size):
            correct, found = _ascend(
                model, attack, x[chunk], y[chunk], start[chunk], correct_fn, all_steps
            )
            remaining[chunk] = correct
            if examples is not None:
                examples[chunk] = found
    return remaining


def chunks(mask: Tensor, size: int) -> tuple[Tensor, ...]:
    """Returns the indices where `mask` is True, `size` at a time; nothing if there are none."""
    indices = mask.nonzero()[:, 0]
    return torch.split(indices, size) if len(indices) else ()


def _ascend(
    model: nn.Module,
    attack: PGD,
    x: Tensor,
    y: Tensor,
    at: Tensor,
    correct_fn: CorrectFn,
    all_steps: bool,
) -> tuple[Tensor, Tensor]:
    """Returns which images are correct after every step, and their adversarial examples.

    all_steps : whether fooled images take the remaining steps too.
    """
    correct = torch.ones(len(x), dtype=torch.bool, device=x.device)
    examples = at.clone()
    here = torch.arange(len(x), device=x.device)
    for step in range(attack.steps + 1):
        at = at.detach().requires_grad_(True)
        scores = model(at)
        now = correct_fn(scores.detach(), y).to(x.device)
        correct[here[~now]] = False
        update = ~now | correct[here]
        examples[here[update]] = at.detach()[update]
        going = torch.ones_like(now) if all_steps else now
        if step == attack.steps or not going.any():
            break
        (slope,) = torch.autograd.grad(F.cross_entropy(scores, y, reduction="sum"), at)
        here, x, y = here[going], x[going], y[going]
        at = _step(attack, x, at.detach()[going], slope[going])
    return correct, examples


def _start(attack: PGD, x: Tensor) -> Tensor:
    """Returns the starting point of every image, drawn as torchattacks draws it."""
    if not attack.random_start:
        return x
    if attack.norm == "linf":
        return (x + torch.empty_like(x).uniform_(-attack.eps, attack.eps)).clamp(0, 1)
    delta = torch.empty_like(x).normal_()
    norms = delta.flatten(1).norm(dim=1)[:, None, None, None]
    delta *= torch.zeros_like(norms).uniform_(0, 1) / norms * attack.eps
    return (x + delta).clamp(0, 1)


def _step(attack: PGD, x: Tensor, at: Tensor, slope: Tensor) -> Tensor:
    """Returns the images after one ascent step, projected into the ball and into [0, 1]."""
    assert attack.step_size is not None
    if attack.norm == "linf":
        at = at + attack.step_size * slope.sign()
        return (x + (at - x).clamp(-attack.eps, attack.eps)).clamp(0, 1)
    norms = slope.flatten(1).norm(dim=1) + TINY
    delta: Tensor = at + attack.step_size * (slope / norms[:, None, None, None]) - x
    shrink: Tensor = (attack.eps / delta.flatten(1).norm(dim=1)).clamp(max=1)
    return (x + delta * shrink[:, None, None, None]).clamp(0, 1)
