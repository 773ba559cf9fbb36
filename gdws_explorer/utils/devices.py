"""Differences between devices: cpu, cuda, and mps, which has no double precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.model_state import state_tensors


def device_of(model: nn.Module) -> torch.device:
    """Returns the device of the model's first parameter or buffer; the CPU if it has none."""
    for values in state_tensors(model).values():
        return values.device
    return torch.device("cpu")


def dtype_of(model: nn.Module) -> torch.dtype:
    """Returns the floating-point type of the model's weights; float32 if it has none.

    That of the first weight with two or more dimensions, if there is one: a network in half
    precision may keep its BatchNorm layers in float32.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.ndim > 1:
            return parameter.dtype
    for values in state_tensors(model).values():
        if values.is_floating_point():
            return values.dtype
    return torch.float32


def resolve_device(device: str | torch.device | None, model: nn.Module) -> torch.device:
    """Returns the device that `device` names; None means the model's own.

    Raises ModelError for a device that this torch does not have, and for MPS if the model is in
    double precision.
    """
    if device is None:
        return device_of(model)
    try:
        resolved = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(
            f"device {device!r} cannot be used ({first_line(error)}); try 'cpu'."
        ) from None
    doubles = any(values.dtype == torch.float64 for values in state_tensors(model).values())
    if resolved.type == "mps" and doubles:
        raise ModelError(
            "the model holds float64 numbers, which MPS does not have; convert it with "
            "model.float(), or compute on 'cpu'."
        )
    return resolved


def to_float64(x: Tensor) -> Tensor:
    """Returns the numbers in float64, on the CPU if their device has no float64 (MPS)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def to_single(x: Tensor) -> Tensor:
    """The numbers in float32 if they are in half precision, whose sums overflow; else as given."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cast_like(like: Tensor, x: Tensor) -> Tensor:
    """Returns `x` in the type of `like` and on its device.

    The type is changed first, because MPS has no float64.
    """
    return x.to(like.dtype).to(like.device)


def as_images(model: nn.Module, x: Tensor) -> Tensor:
    """Returns images on a model's device, in float32 or, for one in double precision, float64."""
    return x.to(torch.promote_types(dtype_of(model), torch.float32)).to(device_of(model))


def as_input(model: nn.Module, x: Tensor) -> Tensor:
    """Returns a copy of images as a model takes them: on its device, in its floating type.

    A copy, because a forward method may work in place on its input.
    """
    dtype = dtype_of(model) if x.is_floating_point() else x.dtype
    return x.to(dtype, copy=True).to(device_of(model))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left.

    CUDA raises a class of its own; MPS and the CPU's allocators raise a RuntimeError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and any(
        words in message
        for words in ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    )


def free_memory() -> None:
    """Returns the unused memory of the accelerators' allocators to the system."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
