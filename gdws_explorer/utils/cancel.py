"""Cancellation of long work, also inside the loops of other libraries."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import Cancelled
from gdws_explorer.typing import Cancel


def stop_requested(cancel: Cancel) -> bool:
    """Whether a stop was requested."""
    if cancel is None:
        return False
    return cancel.is_set() if isinstance(cancel, threading.Event) else bool(cancel())


def stop_if(cancel: Cancel) -> None:
    """Raises Cancelled where a stop was requested."""
    if stop_requested(cancel):
        raise Cancelled("stopped on request")


class CancellableModel(nn.Module):
    """A model that checks for a cancel request before every forward pass.

    Attacks are loops inside another library. Through their forward passes a request to stop reaches
    them, and progress is reported. on_forward : called at every forward pass.
    """

    def __init__(
        self, model: nn.Module, cancel: Cancel = None, on_forward: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self._cancel = cancel
        self._on_forward = on_forward
        # torchattacks reads the device from the first parameter, and a model may have none.
        first = next(model.parameters(), torch.zeros(()))
        self.anchor = nn.Parameter(torch.zeros((), device=first.device), requires_grad=False)

    def forward(self, x: Tensor) -> Any:
        """Returns the model's scores; raises Cancelled where a stop was requested."""
        stop_if(self._cancel)
        if self._on_forward is not None:
            self._on_forward()
        return self.model(x)
