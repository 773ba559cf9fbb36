"""Gradients of the normalised margins at the outputs of a network's convolutions.

An image's decision changes towards class j when the margin `z_top − z_j` is used up. Dbouk &
Shanbhag (NeurIPS 2021, eq. 8) measure a layer by `Σ_{j≠top} ‖∂(z_top − z_j)‖² / (2 (z_top −
z_j)²)`: the squared gradients of margins divided by √2 times their own size. They are taken here
for a whole batch at once: the sum of a batch's margins has every image's own gradient.
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
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import cast_like, to_float64
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.rng import exclusive_rng

Progress = Callable[[float], None] | None

MEMORY = 1 << 26  # numbers in the gradients held at once: 256 MB in float32
BATCH = 16  # larger ones leave the cache


class AttackLike(Protocol):
    """What attacks images: the specifications of the robust room, or anybody's."""

    def bind(self, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that turns images and labels into attacked images."""


@dataclass
class LayerActivations:
    """What one layer met in one batch, a list entry for every call of it.

    inputs : `(N, C, H, W)`. outputs : `(N, M, H', W')`. gradients : of J margins at the output,
    J tensors `(N, M, H', W')`.
    """

    module: nn.Conv2d
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[list[Tensor]] = field(default_factory=list)

    @property
    def positions(self) -> int:
        """Of the output, summed over the calls."""
        return sum(call[0].shape[2:].numel() for call in self.gradients)


def convolutions_of(model: nn.Module, names: Collection[str] | None) -> dict[str, nn.Conv2d]:
    """The convolutions of `model` by name; None for all. Raises PlanError for other names."""
    every = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if names is None:
        return every
    for name in names:
        if name not in every:
            raise PlanError(f"{name!r} is no nn.Conv2d of the network; it has {', '.join(every)}.")
    return {name: every[name] for name in names}


def sample_images(data: object, n: int | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """The first n images of a seeded shuffle, and their labels where `data` has them."""
    x, y = data if isinstance(data, tuple | list) else (data, None)
    x = torch.as_tensor(x)
    y = None if y is None else torch.as_tensor(y)
    if x.ndim != 4 or not len(x) or not x.is_floating_point():
        raise DataError(
            f"the images have shape {tuple(x.shape)} and are {x.dtype}; expected floating point "
            "of shape (N, C, H, W)."
        )
    if y is not None and len(y) != len(x):
        raise DataError(f"there are {len(y)} labels for {len(x)} images; expected one each.")
    if n is None or n >= len(x):
        return x, y
    if n < 1:
        raise DataError(f"n is {n}; expected at least one image.")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]
    return x[order], None if y is None else y[order]


@contextmanager
def differentiable() -> Iterator[None]:
    """Gradients can be taken inside, whatever mode the caller is in; decorates functions too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose parameters need no gradient, made for many backward passes."""
    mine = with_layers(own_copy(model), lambda _name, module: _Affine.of(module)).eval()
    return mine.to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]


class _Affine(nn.Module):
    """What a BatchNorm is in eval mode; torch's own takes longer backwards than a convolution."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, module: nn.Module) -> _Affine | None:
        """None for anything else, and for one that takes its statistics from the batch."""
        if type(module) is not nn.BatchNorm2d or module.running_var is None:
            return None
        assert module.running_mean is not None
        scale = (to_float64(module.running_var) + module.eps).rsqrt()
        if module.weight is not None:
            scale = scale * to_float64(module.weight)
        shift = -to_float64(module.running_mean) * scale
        if module.bias is not None:
            shift = shift + to_float64(module.bias)
        mine = cls()
        for name, numbers in (("scale", scale), ("shift", shift)):
            mine.register_buffer(
                name, cast_like(module.running_var, numbers.detach())[:, None, None]
            )
        return mine

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)`, channel by channel."""
        return x * self.scale + self.shift


def attack_images(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None,
    attack: AttackLike | None,
    seed: int = 0,
    cancel: Cancel = None,
    progress: Progress = None,
    batch: int = 64,
) -> Tensor:
    """The images as `attack` makes them (None: as they are); the random state stays as it was.

    model : a frozen copy. y : labels; None for the model's own answers.
    """
    if attack is None:
        return x
    parts = []
    with differentiable():
        strike = attack.bind(model)
        for start in range(0, len(x), batch):
            stop_if(cancel)
            part = x[start : start + batch]
            with torch.no_grad():
                labels = model(part).argmax(1) if y is None else y[start : start + batch]
            with exclusive_rng(x.device):
                torch.manual_seed(seed + start)
                parts.append(strike(part, labels).detach())
            if progress is not None:
                progress(min(1.0, (start + batch) / len(x)))
    return torch.cat(parts)


def margin_gradients(
    model: nn.Module,
    x: Tensor,
    layers: Mapping[str, nn.Conv2d],
    floor: float,
    cancel: Cancel = None,
    memory: int = MEMORY,
) -> Iterator[dict[str, LayerActivations]]:
    """Forward once, then one backward pass for every class but the top one of each image.

    model : a frozen copy. layers : its convolutions by name. floor : margins are taken at least
    this large. To be used inside `differentiable`. Yields what the layers met, with as many
    classes at a time as `memory` holds; inputs are the same every time. Layers that the pass does
    not call are left out.
    """
    met = {name: LayerActivations(module) for name, module in layers.items()}
    with _recording(met):
        scores = model(x.detach().clone().requires_grad_())
    if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[1] < 2:
        raise ModelError("the model's answer is not a table of scores (N, classes ≥ 2).")
    met = {name: seen for name, seen in met.items() if seen.outputs}
    for name, seen in met.items():
        if any(len(out) != len(x) for out in seen.outputs):
            raise ModelError(
                f"{name} meets a batch of {len(seen.outputs[0])} for {len(x)} images; "
                "expected one row for every image."
            )
    outputs = [out for seen in met.values() for out in seen.outputs]
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
            rows.append(
                torch.autograd.grad(
                    sums[j], outputs, retain_graph=j + 1 < len(sums), materialize_grads=True
                )
            )
        by_call = iter([list(same) for same in zip(*rows, strict=True)])
        for seen in met.values():
            seen.gradients = [next(by_call) for _ in seen.outputs]
        yield met


@contextmanager
def _recording(met: Mapping[str, LayerActivations]) -> Iterator[None]:
    with ExitStack() as hooks:
        for seen in met.values():
            hook = seen.module.register_forward_hook(_note(seen))
            hooks.callback(hook.remove)
        yield


def _note(seen: LayerActivations) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def note(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        seen.inputs.append(inputs[0].detach().clone())
        seen.outputs.append(output)
        return output.clone()  # what follows may work in place

    return note
