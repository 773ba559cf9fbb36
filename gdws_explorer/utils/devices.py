"""What differs between devices: cpu, cuda, and mps, which has no double precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU where it has none."""
    for values in model.state_dict().values():
        return values.device
    return torch.device("cpu")


def dtype_of(model: nn.Module) -> torch.dtype:
    """The floating-point type of the model's weights; float32 where it has none."""
    for values in model.state_dict().values():
        if values.is_floating_point():
            return values.dtype
    return torch.float32


def resolve_device(device: str | torch.device | None, model: nn.Module) -> torch.device:
    """The device that is meant, None being the model's own. Raises ModelError.

    Refused are devices that this torch does not have, and MPS for a model in double precision.
    """
    if device is None:
        return device_of(model)
    try:
        where = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {device!r} cannot be used ({reason}); try 'cpu'.") from None
    if where.type == "mps" and any(v.dtype == torch.float64 for v in model.state_dict().values()):
        raise ModelError(
            "the model holds float64 numbers, which MPS does not have; convert it with "
            "model.float(), or compute on 'cpu'."
        )
    return where


def to_float64(x: Tensor) -> Tensor:
    """The numbers in float64, where they are, or on the CPU where their device has none (MPS)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def cast_like(like: Tensor, x: Tensor) -> Tensor:
    """`x` in the type of `like` and on its device; in this order, for the sake of MPS."""
    return x.to(like.dtype).to(like.device)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left.

    CUDA raises a class of its own; MPS and the CPU's allocators raise a RuntimeError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(
        words in said
        for words in ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    )


def free_memory() -> None:
    """Give back what the accelerators' allocators hold but do not use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
