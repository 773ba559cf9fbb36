"""Gradients of the normalised margins at the outputs of a network's convolutions.

An image's decision changes to class j when the margin `z_top − z_j` falls to zero. Dbouk &
Shanbhag (NeurIPS 2021, eq. 8) measure a layer by `Σ_{j≠top} ‖∂(z_top − z_j)‖² / (2 (z_top −
z_j)²)`: the squared gradients of the margins divided by √2 times the margin. One backward pass
serves a whole batch: the gradient of the sum of margins holds every image's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError, PlanError
from gdws_explorer.network.surgery import with_layers
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import cast_like, to_float64, to_single
from gdws_explorer.utils.modules import own_copy, use_channels_last
from gdws_explorer.utils.precision import (
    NO_GRADIENT,
    CastingModel,
    gradients_needed,
    in_single,
    overflow_error,
    scores_of,
)
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.sampling import plain_sample
from gdws_explorer.utils.tensors import checked_labels, layer_input, tensor_of

MEMORY = 1 << 26  # numbers in the gradients of one step: 256 MB in float32
BATCH = 16  # images; larger batches do not fit in the processor's cache


class AttackLike(Protocol):
    """An attack: a specification of the robust room, or any object with `bind`."""

    def bind(self, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """Returns a function of images and labels that returns attacked images."""


@dataclass
class LayerActivations:
    """Inputs, outputs and gradients of one layer in one batch, with an entry for every call.

    inputs : `(N, C, H, W)`. outputs : `(N, M, H', W')`. gradients : of J margins with respect to
    the output, J tensors `(N, M, H', W')`. Inputs and gradients are never in half precision.
    """

    module: nn.Conv2d
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[list[Tensor]] = field(default_factory=list)

    @property
    def positions(self) -> int:
        """Positions of the output, summed over the calls."""
        return sum(call[0].shape[2:].numel() for call in self.gradients)


def convolutions_of(model: nn.Module, names: Collection[str] | None) -> dict[str, nn.Conv2d]:
    """Returns the convolutions of `model` by name; None for all. Raises PlanError."""
    every = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if names is None:
        return every
    for name in names:
        if name not in every:
            raise PlanError(f"the network has no nn.Conv2d {name!r}; it has {', '.join(every)}.")
    return {name: every[name] for name in names}


def sample_images(data: object, n: int | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """Returns the first n images of a seeded shuffle, with labels where `data` has them.

    data : images, or (images, labels). n : None for all, in their order. Raises DataError.

    Classes are not balanced: images to calibrate on may have no labels.
    """
    x, y = data if isinstance(data, tuple | list) else (data, None)
    x = tensor_of(x, "the images")
    if x.ndim != 4 or not len(x) or not x.is_floating_point():
        raise DataError(
            f"the images have shape {tuple(x.shape)} and are {x.dtype}; expected floating point "
            "of shape (N, C, H, W)."
        )
    if y is not None:
        y = tensor_of(y, "the labels")
        if y.shape[:1] != x.shape[:1]:
            found = len(y) if y.ndim else "no"
            raise DataError(f"there are {found} labels for {len(x)} images; expected one each.")
        y = checked_labels(y, len(x))
    if n is None or n >= len(x):
        return x, y
    order = plain_sample(len(x), n, seed)
    return x[order], None if y is None else y[order]


@contextmanager
def differentiable() -> Iterator[None]:
    """Allows gradients inside, whatever mode the caller is in; also a decorator."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def frozen_copy(model: nn.Module, images: Tensor) -> nn.Module:
    """Returns a copy in eval mode without parameter gradients, for many backward passes.

    A network in half precision is copied in float32, so that its gradients are not rounded to 0.

    images : `(N, C, H, W)`, N ≥ 1; the first is passed once, to find out whether the model works
    with the faster channels-last layout. One that flattens by `view` does not.
    """
    mine = in_single(own_copy(model), images)
    mine = with_layers(mine, lambda _name, module: _Affine.of(module)).eval()
    use_channels_last(mine, images)
    return mine


class _Affine(nn.Module):
    """A BatchNorm in eval mode; torch's own takes longer backwards than a convolution."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, module: nn.Module) -> _Affine | None:
        """Returns None for other modules, and where the batch gives the statistics."""
        if type(module) is not nn.BatchNorm2d or module.running_var is None:
            return None
        assert module.running_mean is not None
        like = to_single(module.running_var)
        scale = (to_float64(like) + module.eps).rsqrt()
        if module.weight is not None:
            scale = scale * to_float64(module.weight)
        shift = -to_float64(module.running_mean) * scale
        if module.bias is not None:
            shift = shift + to_float64(module.bias)
        affine = cls()
        for name, numbers in (("scale", scale), ("shift", shift)):
            affine.register_buffer(name, cast_like(like, numbers.detach())[:, None, None])
        return affine

    def forward(self, x: Tensor) -> Tensor:
        """Scales and shifts `(N, C, H, W)`, channel by channel."""
        return (x * self.scale + self.shift).to(x.dtype)


def attack_images(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None,
    attack: AttackLike | None,
    seed: int = 0,
    cancel: Cancel = None,
    progress: ProgressFn | None = None,
    batch: int = 64,
) -> Tensor:
    """Returns attacked images; torch's random state does not change.

    model : a frozen copy. y : labels; None for the model's own answers. attack : None returns the
    images unchanged.
    """
    if attack is None:
        return x
    parts = []
    with differentiable():
        model = CastingModel.of(model)
        perturb = attack.bind(model)
        for start in range(0, len(x), batch):
            stop_if(cancel)
            part = x[start : start + batch]
            with torch.no_grad():
                labels = model(part).argmax(1) if y is None else y[start : start + batch]
            with exclusive_rng(x.device):
                torch.manual_seed(seed + start)
                with gradients_needed():
                    parts.append(perturb(part, labels).detach())
            report(progress, (start + batch) / len(x))
    return torch.cat(parts)


def margin_gradients(
    model: nn.Module,
    x: Tensor,
    layers: Mapping[str, nn.Conv2d],
    floor: float,
    cancel: Cancel = None,
    memory: int = MEMORY,
) -> Iterator[dict[str, LayerActivations]]:
    """Yields the layers' activations with gradients of all margins, some classes at a time.

    One forward pass, then one backward pass for every class but the top one of each image. To be
    used inside `differentiable`. Layers that the pass does not call are left out.

    model : a frozen copy. layers : its convolutions by name. floor : smaller margins are raised to
    it. memory : numbers that the gradients of one yield may have; inputs are the same every time.
    """
    activations = {name: LayerActivations(module) for name, module in layers.items()}
    with _recording(activations):
        scores = scores_of(model, x.detach().clone().requires_grad_())
    if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[1] < 2:
        raise ModelError(
            "the model does not return scores; expected a tensor (N, classes) of 2 or more classes."
        )
    if not torch.isfinite(scores).all():
        raise overflow_error(model, x)
    activations = {name: layer for name, layer in activations.items() if layer.outputs}
    for name, layer in activations.items():
        if any(len(out) != len(x) for out in layer.outputs):
            raise ModelError(
                f"{name} is called with a batch of {len(layer.outputs[0])} for {len(x)} images; "
                "expected one row for every image."
            )
    outputs = [out for layer in activations.values() for out in layer.outputs]
    if not outputs:
        return
    order = scores.argsort(dim=1, descending=True, stable=True)
    sorted_scores = scores.gather(1, order)
    margins = sorted_scores[:, :1] - sorted_scores[:, 1:]
    scaled = margins / (2**0.5 * margins.detach().clamp_min(floor))
    sums = scaled.sum(0)  # (classes - 1,)
    step = max(1, memory // max(1, sum(out.numel() for out in outputs)))
    for start in range(0, len(sums), step):
        rows = []
        for j in range(start, min(start + step, len(sums))):
            stop_if(cancel)
            rows.append(_gradients(sums[j], outputs, retain_graph=j + 1 < len(sums)))
        by_call = iter([list(map(to_single, same)) for same in zip(*rows, strict=True)])
        for layer in activations.values():
            layer.gradients = [next(by_call) for _ in layer.outputs]
        yield activations


def _gradients(total: Tensor, outputs: list[Tensor], retain_graph: bool) -> list[Tensor]:
    """Returns the gradients of a sum of margins, zeros for outputs that it does not depend on.

    Raises ModelError where it depends on none of them.
    """
    with gradients_needed():
        grads = torch.autograd.grad(total, outputs, retain_graph=retain_graph, allow_unused=True)
    if all(grad is None for grad in grads):
        raise ModelError(NO_GRADIENT)
    return [
        torch.zeros_like(out) if grad is None else grad
        for grad, out in zip(grads, outputs, strict=True)
    ]


@contextmanager
def _recording(activations: Mapping[str, LayerActivations]) -> Iterator[None]:
    """Records inputs and outputs of the layers in a forward pass."""
    with ExitStack() as hooks:
        for layer in activations.values():
            hook = layer.module.register_forward_hook(_recorder(layer), with_kwargs=True)
            hooks.callback(hook.remove)
        yield


def _recorder(layer: LayerActivations) -> Callable[..., Tensor]:
    """Returns a forward hook that records a layer's inputs and outputs."""

    def record(
        _module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> Tensor:
        layer.inputs.append(to_single(layer_input(inputs, kwargs).detach().clone()))
        layer.outputs.append(output)
        return output.clone()  # later operations may work in place

    return record
