"""Counts the multiply-accumulates of a forward pass, functional operations included."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts MACs with torch's own formulas; `macs` is the sum so far.

    Counts the same as torch.utils.flop_counter.FlopCounterMode, but without its breakdown by
    module: entering that class imports torch's compiler, which takes seconds.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled here, so dynamo need not skip it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Runs the operation and adds its MACs, which are half its FLOPs."""
        kwargs = kwargs or {}
        formula = flop_registry.get(getattr(func, "_overloadpacket", func))
        if formula is None and hasattr(func, "decompose"):
            with self:  # inference mode passes compound operations, such as conv2d, as one
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.macs += int(formula(*args, **kwargs, out_val=out)) // 2
        return out
