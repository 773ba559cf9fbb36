"""Cancellation of long work, also inside the loops of other libraries."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.typing import Cancel


def stop_if(cancel: Cancel) -> None:
    """Raise Cancelled where a stop was requested."""
    if cancel is None:
        return
    if cancel.is_set() if isinstance(cancel, threading.Event) else cancel():
        raise Cancelled("stopped on request")


class CancellableModel(nn.Module):
    """A model that checks for a cancel request before every forward pass.

    Attacks are loops inside another library: this is how a request to stop gets into them, and
    how progress gets out. tick : called at every forward pass.
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
        """Return the model's scores; raise Cancelled where a stop was requested."""
        stop_if(self._cancel)
        if self._tick is not None:
            self._tick()
        return self.model(x)
