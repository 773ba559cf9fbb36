"""The same results by other ways: MACs counted by hand, accuracies by a loop, rounding."""

from __future__ import annotations

import copy
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from generated_networks import eval_mode
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def macs_of(model: nn.Module, image: Tensor) -> int:
    """Counts the multiply-accumulates for one image by formulas, from what each module is given."""
    total = 0

    def add(module, args, kwargs, out):
        nonlocal total
        total += _macs(module, args[0] if args else kwargs.get("input"), out)

    with eval_mode(model), ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            hook = module.register_forward_hook(add, with_kwargs=True)
            hooks.callback(hook.remove)
        model(image.clone())
    return total


def _macs(module: nn.Module, x: Tensor, out: Tensor) -> int:
    if isinstance(module, CONVOLUTIONS):
        return out.numel() * module.weight[0].numel()
    if isinstance(module, TRANSPOSED):
        return x.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return out.numel() * module.in_features
    if isinstance(module, nn.RNNBase):
        matrices = sum(p.numel() for p in module.parameters() if p.ndim == 2)
        return x.shape[0] * x.shape[1] * matrices
    return module.own_macs(x, out) if hasattr(module, "own_macs") else 0


def clean_and_attacked(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float | None, batch: int
) -> tuple[Tensor, Tensor]:
    """Returns which images are correct, without attack and after FGSM, bool `(N,)` each.

    eps : of FGSM, None where torch has no gradient.
    """
    clean, robust = [], []
    with eval_mode(model):
        for x, y in zip(images.split(batch), labels.split(batch), strict=True):
            with torch.no_grad():
                right = model(x.clone()).argmax(1) == y
            clean.append(right)
            left = right.clone()
            if eps is not None and right.any():
                attacked = _fgsm(model, x[right], y[right], eps)
                with torch.no_grad():
                    left[right] = model(attacked).argmax(1) == y[right]
            robust.append(left)
    return torch.cat(clean), torch.cat(robust)


def _fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
    return (x.detach() + eps * slope.sign()).clamp(0, 1)


def rounding_of(model: nn.Module, images: Tensor, scores: Tensor) -> Tensor:
    """Returns how far the scores may move where the same is computed in another order.

    It is measured: the difference to the same network in float64, with room for as many more
    roundings as the network itself has, and for the last digits of the largest score.
    """
    exact = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        difference = (exact(images.double()) - scores.double()).abs().max()
    digits = torch.finfo(scores.dtype).eps * scores.double().abs().max()
    return 30 * difference + 60 * digits + 1e-12
