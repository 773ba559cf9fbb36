"""Working on other people's models without leaving a trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import Cancelled, ModelError
from gdws_explorer.network.devices import device_of as device_of
from gdws_explorer.network.devices import dtype_of as dtype_of
from gdws_explorer.network.devices import place as place
from gdws_explorer.network.layers import copied
from gdws_explorer.network.randomness import own_randomness as own_randomness

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


class _Asked(threading.local):
    """The numbers of threads that the blocks around this place asked for."""

    def __init__(self) -> None:
        self.numbers: list[int] = []


class _Usual:
    """How many threads torch had before the first of all blocks that are open now."""

    lock = threading.Lock()
    blocks = 0
    number = 0


_ASKED = _Asked()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with `number` of torch's threads, and with as many as before afterwards.

    torch's number is also what threads to come begin with: of two blocks side by side, the one that
    ends last must not put back what the other had asked for.
    """
    outermost = not _ASKED.numbers
    if outermost:
        with _Usual.lock:
            if _Usual.blocks == 0:
                _Usual.number = torch.get_num_threads()
            _Usual.blocks += 1
    _ASKED.numbers.append(number)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        _ASKED.numbers.pop()
        if outermost:
            with _Usual.lock:
                _Usual.blocks -= 1
                torch.set_num_threads(_Usual.number)
        else:
            torch.set_num_threads(_ASKED.numbers[-1])
