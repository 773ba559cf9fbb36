"""Traces the layers of a network, their shapes and MACs, in one forward pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize, prune

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.mac_counter import MacCounter
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer, LayerSet
from gdws_explorer.network.replacement_check import CallRecorder, unreplaceable
from gdws_explorer.network.weight_reads import WeightReadTracker
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.modules import own_copy, packed_weights
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import all_finite, layer_input

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)


@dataclass(frozen=True)
class Trace:
    """Layers and MACs of one forward pass.

    layers : in the order of their first call. macs : of the whole network, functional
    operations included. unused : names of convolutions that the pass did not call.
    uncounted : modules with operations that no rule counts, as "name (operation)".
    """

    layers: tuple[Layer, ...]
    macs: int
    unused: tuple[str, ...]
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TracedModel:
    """A copy of a model, with the layers and totals of one forward pass.

    model : in eval mode, without gradients. example : `(1, C, H, W)`, on the model's device.
    layers : all layers. unused : names of convolutions that the pass did not call.
    uncounted : modules with operations that are not in `macs`, as "name (operation)".
    macs, params, bytes : of the whole dense network; bytes of parameters and buffers.
    fingerprint : SHA-256 of weights, buffers and layer shapes, 64 hex digits.
    """

    model: nn.Module
    example: Tensor
    layers: LayerSet
    unused: tuple[str, ...]
    uncounted: tuple[str, ...]
    macs: int
    params: int
    bytes: int
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, `(C, H, W)`."""
        return tuple(self.example.shape[1:])

    @property
    def totals(self) -> dict[str, int]:
        """MACs and parameters of the dense network, by measure."""
        return {"macs": self.macs, "params": self.params}

    @classmethod
    def of(
        cls, model: nn.Module, example: Tensor, skip: Collection[str] | None = None
    ) -> TracedModel:
        """Copies and traces a model.

        skip : names of layers that budgets leave dense; None for the first convolution and a
        linear layer at the end. Raises DataError, ModelError, PlanError.
        """
        model = own_copy(model)
        example = one_example(example, model)
        traced = trace(model, example)
        names = tuple(layer.name for layer in traced.layers if layer.families)
        layers = LayerSet(traced.layers, names, frozenset(_ends(traced.layers)))
        if skip is not None:
            layers.check_names(skip)
            layers = LayerSet(traced.layers, names, frozenset(skip))
        parameters, buffers = list(model.parameters()), list(model.buffers())
        return cls(
            model,
            example,
            layers,
            traced.unused,
            traced.uncounted,
            traced.macs,
            sum(p.numel() for p in parameters),
            sum(t.numel() * t.element_size() for t in parameters + buffers),
            fingerprint(model, traced.layers, tuple(example.shape[1:])),
        )


def one_example(example: Tensor, model: nn.Module) -> Tensor:
    """Returns the first of a batch `(N, …)`, on the model's device and in its floating type."""
    if not isinstance(example, Tensor):
        raise DataError(
            f"the example is a {type(example).__name__}; expected a tensor (N, C, H, W)."
        )
    if example.ndim < 2 or len(example) == 0:
        raise DataError(
            f"the example has shape {tuple(example.shape)}; expected a batch (N, C, H, W) with "
            "at least one image."
        )
    return as_input(model, example[:1].detach()).contiguous()


def trace(model: nn.Module, example: Tensor) -> Trace:
    """Runs the model once on `example` `(1, …)` and describes every layer it calls.

    A module that is called twice has twice the MACs. Raises ModelError where the model has no
    convolution, does not take the example, or has weights that are NaN or infinite.
    """
    named = {name: m for name, m in model.named_modules() if isinstance(m, WEIGHTED)}
    if not any(isinstance(m, CONVOLUTIONS + TRANSPOSED) for m in named.values()):
        packed = packed_weights(model)
        if packed is not None:
            raise ModelError(
                f"{packed} holds packed quantised weights, which cannot be approximated; give the "
                "network before it is quantised, and quantise the result."
            )
        raise ModelError(f"{type(model).__name__} has no convolution to approximate.")
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not all_finite(parameter):
            raise ModelError(f"{name} holds NaN or infinite values; repair the network first.")
    calls: dict[str, list[tuple[torch.Size, torch.Size]]] = {}
    tracker, recorder = WeightReadTracker(named), CallRecorder()
    counter = MacCounter(list(model.parameters()), list(model.buffers()))

    def note(name: str, inputs: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        tracker.leave(name)
        taken = layer_input(inputs, kwargs)
        calls.setdefault(name, []).append((taken.shape, output.shape))
        recorder.add(name, taken, output)

    hooks = [
        module.register_forward_hook(
            lambda _m, inputs, kwargs, output, name=name: note(name, inputs, kwargs, output),
            with_kwargs=True,
        )
        for name, module in named.items()
    ] + [
        module.register_forward_pre_hook(lambda _m, _inputs, name=name: tracker.enter(name))
        for name, module in named.items()
    ]
    for name, module in model.named_modules():
        hooks += [
            module.register_forward_pre_hook(lambda _m, _inputs, name=name: counter.enter(name)),
            module.register_forward_hook(lambda _m, _inputs, _out, name=name: counter.leave(name)),
        ]
    try:
        with exclusive_rng(example.device), _countable(), torch.no_grad(), counter, tracker:
            output = model(example.clone())
    except Exception as error:
        raise ModelError(
            f"the model does not take an example of shape {tuple(example.shape)}: "
            f"{first_line(error)}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()

    if not calls:
        raise ModelError(
            f"the forward pass of {type(model).__name__} calls none of the model's own layers; "
            "expected a forward method that calls them (it may be a function that calls another "
            "model)."
        )
    shared, read = _shared(model), tracker.elsewhere | _fast(model, named)
    reasons = {name: _reasons(named[name], shared, name in read) for name in calls}
    offered = {name: named[name] for name in calls if len(reasons[name]) < len(FAMILIES)}
    with _countable():
        for name, why in unreplaceable(model, example, output, offered, recorder).items():
            reasons[name] = dict.fromkeys(FAMILIES, why)
    layers = tuple(_layer(name, named[name], sizes, reasons[name]) for name, sizes in calls.items())
    in_layers = sum(layer.macs for layer in layers)
    unused = tuple(n for n, m in named.items() if n not in calls and not isinstance(m, nn.Linear))
    uncounted = tuple(
        f"{name or type(model).__name__} ({operation})"
        for name, operation in counter.uncounted.items()
    )
    return Trace(layers, max(in_layers, counter.macs), unused, uncounted)


def _ends(layers: tuple[Layer, ...]) -> list[str]:
    """Returns the first convolution, and the last layer where it is linear, the classifier."""
    convolutions = [layer.name for layer in layers if layer.in_size]
    return convolutions[:1] + [layer.name for layer in layers[-1:] if not layer.in_size]


def fingerprint(model: nn.Module, layers: tuple[Layer, ...], input_shape: tuple[int, ...]) -> str:
    """Returns the SHA-256 of the weights, buffers and layer shapes, as 64 hex digits."""
    digest = Digest(repr(input_shape))
    for layer in layers:
        shape = (layer.name, layer.weight_shape, layer.in_positions, layer.out_positions)
        digest.text(repr(shape) + _unusual_settings(model.get_submodule(layer.name)))
    return digest.state(model).hex


def _unusual_settings(module: nn.Module) -> str:
    """Returns dilation and padding as text where they are not nn.Conv2d's defaults, else ""."""
    dilation, mode = getattr(module, "dilation", 1), getattr(module, "padding_mode", "zeros")
    steps = dilation if isinstance(dilation, tuple) else (dilation,)
    plain = mode == "zeros" and all(step == 1 for step in steps)
    return "" if plain else f"{dilation} {mode} {module.padding}"


def _layer(
    name: str,
    module: nn.Module,
    sizes: list[tuple[torch.Size, torch.Size]],
    reasons: Mapping[str, str],
) -> Layer:
    """Describes a layer; sizes : shapes of input and output of every call."""
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    spatial = 0 if isinstance(module, nn.Linear) else weight.ndim - 2
    ins, outs = ([_positions(call[i], spatial) for call in sizes] for i in (0, 1))
    transposed = isinstance(module, TRANSPOSED)
    numbers = [weight] if bias is None else [weight, bias]
    return Layer(
        name=name,
        kind=type(module).__name__,
        weight_shape=tuple(weight.shape),
        in_size=tuple(sizes[0][0][-spatial:]) if spatial else (),
        out_size=tuple(sizes[0][1][-spatial:]) if spatial else (),
        calls=len(sizes),
        in_positions=sum(ins),
        mid_positions=sum(_rows_by_columns(*call) for call in sizes) if spatial == 2 else 0,
        out_positions=sum(outs),
        groups=getattr(module, "groups", 1),
        macs=weight.numel() * sum(ins if transposed else outs),
        params=sum(t.numel() for t in numbers),
        bytes=sum(t.numel() * t.element_size() for t in numbers),
        itemsize=weight.element_size(),
        bias=bias is not None,
        families=tuple(family for family in FAMILIES if family not in reasons),
        reasons=reasons,
    )


def _positions(shape: torch.Size, spatial: int) -> int:
    """Returns how often every weight is used: the numbers of a tensor per channel.

    The batch counts too: a model may fold time or windows of its one example into it.
    """
    channels = len(shape) - spatial - 1
    return math.prod(shape[:channels]) * math.prod(shape[channels + 1 :])


def _rows_by_columns(taken: torch.Size, given: torch.Size) -> int:
    """Returns the positions between a vertical and a horizontal convolution.

    These are the output's rows times the input's columns.
    """
    return math.prod(given[:-3]) * given[-2] * taken[-1]


@contextmanager
def _countable() -> Iterator[None]:
    """Computes attention by plain matrix products; torch has no FLOP formulas of fused kernels."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _shared(model: nn.Module) -> frozenset[int]:
    """Returns the ids of parameters that are used in more than one place."""
    places = Counter(id(p) for m in model.modules() for p in m._parameters.values())
    return frozenset(p for p, times in places.items() if times > 1) - {id(None)}


def _fast(model: nn.Module, named: Mapping[str, nn.Module]) -> frozenset[str]:
    """Returns layers whose weight torch's transformer layer reads in its fast path.

    That path is not taken while tracing, so the tracker cannot see it.
    """
    encoders = [m for m in model.modules() if isinstance(m, nn.TransformerEncoderLayer)]
    read = {id(child) for encoder in encoders for child in encoder.children()}
    return frozenset(name for name, module in named.items() if id(module) in read)


def _reasons(module: nn.Module, shared: frozenset[int], read: bool) -> dict[str, str]:
    """Returns why families cannot approximate this layer, by family; empty where all can.

    read : whether code outside the layer reads its weight or bias.
    """
    why = _reason_for_all(module, shared)
    if why is None and read:
        why = "its weight or bias is also read outside of it: call the layer itself instead"
    if why is not None:
        return dict.fromkeys(FAMILIES, why)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    found = {name: family.why_not(module) for name, family in FAMILIES.items()}
    return {name: why for name, why in found.items() if why is not None}


def _reason_for_all(module: nn.Module, shared: frozenset[int]) -> str | None:
    """Returns why no family can approximate this layer, None where some may."""
    kind = type(module).__name__
    if isinstance(module, TRANSPOSED):
        return f"{kind}: transposed convolutions are not supported"
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return f"{kind}: only 2-D convolutions are supported"
    if isinstance(module.weight, Tensor) and not module.weight.is_floating_point():
        return f"its weight is {module.weight.dtype}; only floating-point weights are supported"
    if parametrize.is_parametrized(module):
        return "its weight is parametrized: torch.nn.utils.parametrize.remove_parametrizations"
    if prune.is_pruned(module):
        return (
            "it is pruned by a mask, so it is computed: torch.nn.utils.prune.remove makes it plain"
        )
    if "weight" not in module._parameters:
        return "its weight is computed (weight or spectral norm): remove the norm first"
    if _has_custom_forward(module):
        return f"{kind} has a forward of its own"
    if module._forward_hooks or module._forward_pre_hooks:
        return "it carries forward hooks, which a replacement would lose: remove them first"
    if not shared.isdisjoint((id(module.weight), id(module.bias))):
        return "it shares its weight or bias with another part of the network: give it its own copy"
    return None


def _has_custom_forward(module: nn.Conv2d | nn.Linear) -> bool:
    """Whether the layer computes something else than torch's own class."""
    kind = type(module)
    if "forward" in vars(module):  # patched on the object itself
        return True
    if isinstance(module, nn.Linear):
        return kind.forward is not nn.Linear.forward
    changed = kind.forward is not nn.Conv2d.forward
    return changed or getattr(kind, "_conv_forward", None) is not nn.Conv2d._conv_forward
