"""The floating types of images, networks and scores.

Images, the iterates of attacks and all sums are float32, or float64 for a network in double
precision. They are rounded to a network's own type only where they enter it, and its scores are
float32 again: in half precision the small steps of an attack would be rounded away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.devices import as_input, device_of, dtype_of
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.modules import deep_copy
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import tensors_of

UNCONNECTED = ("does not require grad", "not have been used in the graph")  # torch's words
HALF = (torch.float16, torch.bfloat16)
NO_GRADIENT = (
    "the model's scores carry no gradient: its forward method runs under torch.no_grad() or "
    "torch.inference_mode(), detaches its input, or has layers without gradients (quantised ones); "
    "remove that, or use gx.Square, the attack that needs no gradient."
)


def in_single(model: nn.Module, images: Tensor) -> nn.Module:
    """Returns a network in half precision as a copy in float32, if it works in float32 too.

    images : `(N, C, H, W)`; the first is passed through the copy. Other networks, and those whose
    forward method converts to half precision, are returned as they are.
    """
    if dtype_of(model) not in HALF:
        return model
    wide = deep_copy(model).float()
    try:
        with torch.no_grad(), exclusive_rng(device_of(wide)):
            wide(as_input(wide, images[:1]))
    except Exception:  # whatever the model does with a type that it does not expect
        return model
    return wide


def scores_of(model: nn.Module, x: Tensor) -> Any:
    """Runs a model on images in float32 or float64; returns its scores in the images' type.

    Raises ModelError where gradients are computed and the scores carry none, and for an operation
    that torch does not have in the model's type.
    """
    try:
        scores = model(as_input(model, x))
    except RuntimeError as error:
        if "nference tensor" in str(error):  # made in inference mode, used outside of it
            raise ModelError(NO_GRADIENT) from error
        if "not implemented for" in str(error):
            raise ModelError(
                f"the model cannot be run in {dtype_of(model)} on this device "
                f"({first_line(error)}); convert it with model.float()."
            ) from error
        raise
    if not isinstance(scores, Tensor):
        return scores
    missing = torch.is_grad_enabled() and not scores.requires_grad
    if missing and (x.requires_grad or any(p.requires_grad for p in model.parameters())):
        raise ModelError(NO_GRADIENT)
    exact = torch.promote_types(x.dtype, torch.float32)
    return scores.to(exact) if scores.is_floating_point() else scores


@contextmanager
def gradients_needed() -> Iterator[None]:
    """Turns torch's errors about gradients that it cannot compute into a ModelError."""
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in UNCONNECTED):
            raise ModelError(NO_GRADIENT) from error
        if "modified by an inplace operation" in str(error):
            raise ModelError(
                "the model changes numbers in place that its gradient needs, such as the output "
                "of a ReLU or sigmoid; write that operation without inplace=True or a trailing "
                "underscore, or use gx.Square, the attack that needs no gradient."
            ) from error
        raise


class CastingModel(nn.Module):
    """A network between images and scores in float32 or float64, whatever type it computes in.

    A network that computes in float16, by its weights' type or its own autocast, gets gradients of
    the scores whose largest number is 1 for every image, and an image's gradient is scaled back:
    the loss of a sure answer has smaller gradients than float16, which ends at 6e-8.

    overflow : what a pass said that first gave infinite or NaN scores in float16, or None.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.overflow: str | None = None
        self._float16: bool | None = None  # known after the first pass

    @classmethod
    def of(cls, model: nn.Module) -> nn.Module:
        """Returns `model` with a CastingModel around it, unless there is one inside."""
        inside = any(isinstance(module, cls) for module in model.modules())
        return model if inside else cls(model)

    def forward(self, x: Tensor) -> Any:
        """Returns scores `(B, classes)` for images `(B, C, H, W)`. Raises ModelError."""
        taken = x.view_as(x)
        if self._float16 is None:
            outputs: set[torch.dtype] = {dtype_of(self.model)}
            with _watched(self.model, lambda _n, _i, out: outputs.update(_types(out))):
                scores = scores_of(self.model, taken)
            self._float16 = torch.float16 in outputs
        else:
            scores = scores_of(self.model, taken)
        if self._float16 and isinstance(scores, Tensor):
            if self.overflow is None and not torch.isfinite(scores).all():
                self.overflow = str(overflow_error(self.model, x))
            if scores.requires_grad and taken.requires_grad:
                _scale_gradients(taken, scores)
        return scores


def overflow_error(model: nn.Module, x: Tensor) -> ModelError:
    """Returns the error that names the first layer of a pass with infinite or NaN numbers."""
    found: list[ModelError] = []

    def see(name: str, inputs: object, output: object) -> None:
        for place, given in ((f"the input of {name}", inputs), (name, output)):
            found.extend(
                _error(place, tensor.dtype)
                for tensor in tensors_of(given)
                if not torch.isfinite(tensor).all()
            )

    with torch.no_grad(), exclusive_rng(x.device), _watched(model, see):
        scores_of(model, x)
    return found[0] if found else _error("the end of the forward method", dtype_of(model))


def check_finite(layer: str, *numbers: Tensor, dtype: torch.dtype) -> None:
    """Raises ModelError, with the layer's name and type, if any number is infinite or NaN."""
    if not all(bool(torch.isfinite(each).all()) for each in numbers):
        raise _error(layer, dtype)


def _error(place: str, dtype: torch.dtype) -> ModelError:
    advice = (
        "convert the network with model.bfloat16() or model.float(), as float16 ends at 65,504"
        if dtype == torch.float16
        else "check the network's weights and the range of the images"
    )
    kind = str(dtype).removeprefix("torch.")
    return ModelError(f"{place} has infinite or NaN numbers in {kind}; {advice}.")


def _scale_gradients(x: Tensor, scores: Tensor) -> None:
    """Scales the gradient of every row of `scores` to a largest number of 1, and back at `x`."""
    sizes: list[Tensor] = []

    def down(gradient: Tensor) -> Tensor:
        size = gradient.flatten(1).abs().amax(1)
        sizes[:] = [torch.where(size > 0, size, 1)]
        return gradient / sizes[0].view(-1, *[1] * (gradient.ndim - 1))

    def up(gradient: Tensor) -> Tensor:
        # An infinite gradient keeps its sign; NaN, a difference of infinite ones, has none.
        return gradient.nan_to_num() * sizes[0].view(-1, *[1] * (gradient.ndim - 1))

    scores.register_hook(down)  # type: ignore[no-untyped-call]
    x.register_hook(up)  # type: ignore[no-untyped-call]


@contextmanager
def _watched(model: nn.Module, see: Callable[[str, object, object], None]) -> Iterator[None]:
    """Shows name, inputs and output of every called module that has no children."""
    hooks = [
        module.register_forward_hook(lambda _m, inputs, out, name=name: see(name, inputs, out))
        for name, module in model.named_modules()
        if not any(module.children())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _types(given: object) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors_of(given)}
