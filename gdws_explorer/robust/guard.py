"""Working on other people's models without leaving a trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import Cancelled, ModelError
from gdws_explorer.network.layers import copied

Cancel = Callable[[], bool] | threading.Event | None


def own_copy(model: object) -> nn.Module:
    """A deep copy that may be trained, frozen and moved. Raises ModelError."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"the model is {type(model).__name__}; expected a torch.nn.Module.")
    try:
        mine = copied(model)
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied ({error}); detach the tensors that it stores as "
            "attributes."
        ) from error
    for name, values in mine.state_dict().items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ModelError(
                f"{name} holds NaN or infinite values; expected finite weights: load the model "
                "again."
            )
    return mine


def asked_to_stop(cancel: Cancel) -> None:
    """Raises Cancelled if the user asked for it."""
    if cancel is None:
        return
    if cancel.is_set() if isinstance(cancel, threading.Event) else cancel():
        raise Cancelled("stopped on request")


class Watched(nn.Module):
    """`model`, with a look at the user's wishes before every forward pass.

    The attacks are somebody else's loops: this is how a cancel gets into them and progress
    out.
    """

    def __init__(
        self, model: nn.Module, cancel: Cancel = None, tick: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self._cancel = cancel
        self._tick = tick
        # torchattacks asks the first parameter for the device, and a model may have none.
        first = next(model.parameters(), torch.zeros(()))
        self.anchor = nn.Parameter(torch.zeros((), device=first.device), requires_grad=False)

    def forward(self, x: Tensor) -> Any:
        """What the model answers, unless the user wants to stop."""
        asked_to_stop(self._cancel)
        if self._tick is not None:
            self._tick()
        return self.model(x)


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put back train/eval of every submodule; torchattacks knows only the top one's."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def grads_off(model: nn.Module) -> Iterator[None]:
    """No gradients for the parameters: attacks need the input's only, half the work."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, on in wanted:
            parameter.requires_grad_(on)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Put back torch's generators, on the CPU and on `device`, as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with `number` of torch's threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU where it has none."""
    for values in model.state_dict().values():
        return values.device
    return torch.device("cpu")


def place(device: str | torch.device | None, model: nn.Module) -> torch.device:
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


def dtype_of(model: nn.Module) -> torch.dtype:
    """The floating-point type of the model's weights; float32 where it has none."""
    for values in model.state_dict().values():
        if values.is_floating_point():
            return values.dtype
    return torch.float32
