"""Multiply-accumulates of a forward pass, functional operations included."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts with torch's own formulas while it is entered; `macs` is the sum so far.

    What torch.utils.flop_counter.FlopCounterMode counts, without its breakdown by module: entering
    that one imports torch's compiler, which takes seconds.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, so the compiler need not be told to stay away."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and add its MACs: half its FLOPs."""
        kwargs = kwargs or {}
        formula = flop_registry.get(getattr(func, "_overloadpacket", func))
        if formula is None and hasattr(func, "decompose"):
            with self:  # inference mode sends compound operations, such as conv2d, undivided
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.macs += int(formula(*args, **kwargs, out_val=out)) // 2
        return out
