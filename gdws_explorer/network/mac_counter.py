"""Counts the multiply-accumulates of a forward pass, functional operations included."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gdws_explorer.utils.devices import as_input

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

# Products with vectors, for which torch has no formula either: which of their arguments are the
# factors. Every number of the larger factor is used once.
VECTOR = {
    torch.ops.aten.mv: slice(0, 2),
    torch.ops.aten.addmv: slice(1, 3),
    torch.ops.aten.dot: slice(0, 2),
    torch.ops.aten.vdot: slice(0, 2),
}
# Beginnings of the names of torch's other operations that multiply and add. Interpolation,
# pooling and elementwise operations are not counted by convention.
OTHERS = (
    *("_fft", "_trilinear", "_cdist", "_euclidean", "linalg", "_linalg", "_sparse", "_int_mm"),
    *("_weight_int", "addbmm", "_addmm_activation", "mkldnn_linear"),
)
COUNTED = frozenset({"aten", "prims", "prim", "profiler"})  # namespaces of which OTHERS is complete


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

    `uncounted` holds the modules with operations that multiply and add and that no formula covers,
    with the first such operation, in call order. The modules' hooks call `enter` and `leave`.

    weights, buffers : the model's. Spectral norms multiply a weight by a buffer, and not an image;
    that is not counted, nor is the work of other parametrizations.

    Counts the same as torch.utils.flop_counter.FlopCounterMode, but without its breakdown by
    module: entering that class imports torch's compiler, which takes seconds.
    """

    supports_higher_order_operators = True

    def __init__(self, weights: Collection[Tensor] = (), buffers: Collection[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.uncounted: dict[str, str] = {}
        self._modules: list[str] = []
        self._weights = {_memory(each) for each in weights if each.ndim > 1} - {0}
        self._buffers = {_memory(each) for each in buffers} - {0}

    def enter(self, module: str) -> None:
        """Records that the forward of a module begins."""
        self._modules.append(module)

    def leave(self, module: str) -> None:
        """Records that the forward of a module ends, and of those inside it that raised errors."""
        while self._modules and self._modules.pop() != module:
            pass

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
        if packet in VECTOR:
            factors = args[VECTOR[packet]]
            if not self._on_weights() and not any(_memory(x) in self._buffers for x in factors):
                self.macs += max(each.numel() for each in factors)
            return func(*args, **kwargs)
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
        elif self._multiplies(func, args, out):
            self.uncounted.setdefault(self._modules[-1] if self._modules else "", str(packet))
        return out

    def _on_weights(self) -> bool:
        """Whether a parametrization is at work, on a weight and not on an image."""
        return bool(self._modules) and ".parametrizations." in f".{self._modules[-1]}."

    def _multiplies(self, func: Any, args: tuple[Any, ...], out: Any) -> bool:
        """Whether an operation without a formula multiplies and adds."""
        if self._on_weights():
            return False
        namespace, name = getattr(func, "namespace", ""), getattr(func, "__name__", "")
        if namespace not in COUNTED:  # of torchvision, of quantised layers, or the user's own
            return True
        if name.startswith(OTHERS):
            return not name.startswith("linalg_vector_norm")  # a sum
        # A product of every number with every weight, which is then summed: a layer by hand.
        if not name.startswith("mul.") or not all(isinstance(each, Tensor) for each in args):
            return False
        grows = out.numel() > max(each.numel() for each in args)
        return grows and any(_memory(each) in self._weights for each in args)


def _memory(tensor: Tensor) -> int:
    """Returns the address of a tensor's memory, which its views share; 0 where it has none."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def count_macs(model: nn.Module, images: Tensor) -> int:
    """Returns the multiply-accumulates of one forward pass of images `(N, C, H, W)`."""
    with torch.no_grad(), MacCounter() as counter:
        model(as_input(model, images))
    return int(counter.macs)
