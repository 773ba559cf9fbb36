"""Training losses, one function per method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdws_explorer.robust.attack_base import AttackFn
from gdws_explorer.robust.data_checks import check_logits
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.utils.modules import no_parameter_grads, preserve_modes

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images and labels of a batch to the loss and the class scores of the images learned from."""


def loss_of(model: nn.Module, recipe: Recipe) -> Loss:
    """Returns the loss of a recipe's method on `model`, images in [0, 1] to class scores."""
    if recipe.method == "trades":
        return _trades_loss(model, recipe)
    attack = recipe.training_attack if recipe.method != "standard" else None
    if attack is None:
        return _clean_loss(model, recipe)
    return _adversarial_loss(model, attack.bind(model), recipe)


def _clean_loss(model: nn.Module, recipe: Recipe) -> Loss:
    def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scores = check_logits(model(x), y)
        return F.cross_entropy(scores, y, label_smoothing=recipe.label_smoothing), scores

    return loss


def _adversarial_loss(model: nn.Module, attack_fn: AttackFn, recipe: Recipe) -> Loss:
    """Returns the cross-entropy on attacked images, mixed with that on clean images."""
    weight, smoothing = recipe.clean_weight, recipe.label_smoothing

    def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with preserve_modes(model), no_parameter_grads(model):
            model.eval()
            attacked = attack_fn(x, y)
        if weight == 0:
            scores = check_logits(model(attacked), y)
            return F.cross_entropy(scores, y, label_smoothing=smoothing), scores
        # Both halves go through BatchNorm together.
        both = check_logits(model(torch.cat([x, attacked])), torch.cat([y, y]))
        clean, robust = both.chunk(2)
        mixed = weight * F.cross_entropy(clean, y, label_smoothing=smoothing) + (
            1 - weight
        ) * F.cross_entropy(robust, y, label_smoothing=smoothing)
        return mixed, robust

    return loss


def _trades_loss(model: nn.Module, recipe: Recipe) -> Loss:
    """Returns the cross-entropy on clean images, plus beta times the divergence under attack.

    Zhang et al., ICML 2019, eq. 5: the attack raises that divergence, with the network in eval
    mode.
    """
    # Here, because importing torchattacks takes a second.
    from gdws_explorer.robust.torchattacks_backend import trades

    assert recipe.eps is not None
    eps, steps = recipe.eps, recipe.steps or 10
    size = recipe.step_size or 2.5 * eps / steps
    attack_fn = trades(model, eps, size, steps)

    def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with preserve_modes(model), no_parameter_grads(model):
            model.eval()
            attacked = attack_fn(x, y)
        both = check_logits(model(torch.cat([x, attacked])), torch.cat([y, y]))
        clean, robust = both.chunk(2)
        clean_loss = F.cross_entropy(clean, y, label_smoothing=recipe.label_smoothing)
        return clean_loss + recipe.beta * _divergence(robust, clean), robust

    return loss


def _divergence(scores: Tensor, clean: Tensor) -> Tensor:
    """Returns the mean Kullback-Leibler divergence of the clean distribution from the other."""
    return F.kl_div(
        scores.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True
    )
