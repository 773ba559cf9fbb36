"""Counts the multiply-accumulates of a forward pass, functional operations included."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# Fused kernels of recurrent layers (oneDNN, cuDNN, MIOpen, Metal), for which torch has no formula:
# which of their arguments are the weights.
RECURRENT = {
    getattr(torch.ops.aten, name): weights
    for name, weights in {
        "mkldnn_rnn_layer": slice(1, 3),
        "_cudnn_rnn": slice(1, 2),
        "miopen_rnn": slice(1, 2),
        "_lstm_mps": slice(2, 3),
    }.items()
    if hasattr(torch.ops.aten, name)
}


def _recurrent_macs(args: tuple[Any, ...], weights: slice) -> int:
    """Returns the MACs of a fused recurrent kernel: every weight is used once per time step.

    args : its arguments, the first of them the input `(T, N, I)`, or `(steps, I)` of packed
    sequences; the weights are single matrices or lists that hold biases too.
    """
    steps = args[0].shape[:-1].numel()
    given = [each for arg in args[weights] for each in (arg if isinstance(arg, list) else [arg])]
    return int(steps * sum(each.numel() for each in given if each.ndim == 2))


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
        packet = getattr(func, "_overloadpacket", func)
        if packet in RECURRENT:
            self.macs += _recurrent_macs(args, RECURRENT[packet])
            return func(*args, **kwargs)
        formula = flop_registry.get(packet)
        if formula is None and hasattr(func, "decompose"):
            with self:  # inference mode passes compound operations, such as conv2d, as one
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.macs += int(formula(*args, **kwargs, out_val=out)) // 2
        return out


def count_macs(model: nn.Module, images: Tensor) -> int:
    """Returns the multiply-accumulates of one forward pass of images `(N, C, H, W)`."""
    weight = next(model.parameters(), images)
    with torch.no_grad(), MacCounter() as counter:
        model(images.to(weight))
    return int(counter.macs)
