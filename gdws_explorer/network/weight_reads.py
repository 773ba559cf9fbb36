"""Finds layers whose weights a forward pass reads outside of the layers themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from gdws_explorer.utils.tensors import tensors_of


class WeightReadTracker(TorchFunctionMode):
    """A context that records operations on a layer's weight or bias outside of the layer.

    Such a layer cannot be replaced, because the code that reads its weight would not find it. The
    layers' hooks call `enter` and `leave`.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._owner = {
            id(parameter): name
            for name, layer in layers.items()
            for parameter in layer._parameters.values()
            if parameter is not None
        }
        self._inside: Counter[str] = Counter()
        self._elsewhere: set[str] = set()

    @property
    def elsewhere(self) -> frozenset[str]:
        """Names of the layers whose weight or bias was read outside of them."""
        return frozenset(self._elsewhere)

    def enter(self, name: str) -> None:
        """Records that a layer's forward begins."""
        self._inside[name] += 1

    def leave(self, name: str) -> None:
        """Records that a layer's forward ends."""
        self._inside[name] -= 1

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs the operation and checks its arguments."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if _has_tensor(out):  # operations that return a shape, type or device read no number
            for value in tensors_of((args, kwargs)):
                owner = self._owner.get(id(value))
                if owner is not None and not self._inside[owner]:
                    self._elsewhere.add(owner)
        return out


def _has_tensor(out: Any) -> bool:
    """Whether a result is, or holds, a tensor."""
    return next(tensors_of(out), None) is not None
