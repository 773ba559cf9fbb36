"""Finds layers that a model uses in other ways than by calling them.

A factorised layer is another class without the attributes of a convolution. A model that reads
such an attribute, or asks for the class, would break or compute something else with it. One run
with placeholders in the layers' places finds these layers, whatever the forward method does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import alike

TOLERANCE = 1e-4  # of the largest output: the same operations on the same numbers
MOST_BYTES = 2**28  # of inputs and outputs that are kept; the calls after them are computed again


class _Call(NamedTuple):
    """One call of a layer.

    taken, given : input and output. versions : of both, which in-place operations raise.
    """

    taken: Tensor
    given: Tensor
    versions: tuple[int, int]

    def answers(self, x: Tensor) -> bool:
        """Whether the layer gives this output for `x` too."""
        return (
            self.versions == (self.taken._version, self.given._version)
            and (x.dtype, x.shape, x.stride())
            == (self.taken.dtype, self.taken.shape, self.taken.stride())
            and torch.equal(x, self.taken)
        )


class CallRecorder:
    """The calls of layers in one forward pass; a second pass need not compute them again."""

    def __init__(self) -> None:
        self._calls: dict[str, list[_Call | None]] = {}
        self._bytes = 0

    def add(self, name: str, taken: object, given: object) -> None:
        """Keeps one call of a layer, with what it was called with and what it returned."""
        calls = self._calls.setdefault(name, [])
        calls.append(None)
        if isinstance(taken, Tensor) and isinstance(given, Tensor):
            if taken.is_inference() or given.is_inference():  # these have no version
                return
            self._bytes += taken.nbytes + given.nbytes
            if self._bytes <= MOST_BYTES:
                calls[-1] = _Call(taken, given, (taken._version, given._version))

    def calls(self, name: str) -> Sequence[_Call | None]:
        """Returns the calls of a layer in their order, None for those that were not kept."""
        return self._calls.get(name, ())


class _Placeholder(nn.Module):
    """A layer that can be called, and nothing else; it records which attributes are read.

    layer : the real one. calls : those of an earlier pass. reads : names of the attributes that
    were read.
    """

    def __init__(self, layer: nn.Module, calls: Sequence[_Call | None]) -> None:
        super().__init__()
        self._layer = [layer]  # in a list, so that it is not found as a child
        self._calls = iter(calls)
        self.reads: set[str] = set()
        for name, parameter in layer._parameters.items():  # as a replaced layer has some
            self.register_parameter(f"factor_{name}", parameter)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer, unless its output for this input is known."""
        known = next(self._calls, None)
        if known is not None and not kwargs and len(args) == 1 and known.answers(args[0]):
            return known.given
        return self._layer[0](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Records the read of an attribute that a replaced layer would not have."""
        layer = self.__dict__["_layer"][0]
        found = getattr(layer, name)
        self.__dict__["reads"].add(name)
        return found


def unreplaceable(
    model: nn.Module,
    example: Tensor,
    expected: object,
    layers: Mapping[str, nn.Module],
    recorder: CallRecorder | None = None,
) -> dict[str, str]:
    """Returns why some of `layers` cannot be replaced, by name; empty where all can.

    model : in eval mode; it is left as it was. example : `(1, …)`. expected : the model's output
    for it, with the same random numbers. layers : modules of the model by name. recorder : the
    calls in the pass that gave `expected`.
    """
    if not layers:
        return {}
    reads, same = _run(model, example, expected, layers, recorder)
    if not same and recorder is not None:  # a tensor may have changed behind torch's back
        reads, same = _run(model, example, expected, layers)
    found = {
        name: f"the model reads its attribute {sorted(names)[0]!r}; it may only call the layer"
        for name, names in reads.items()
        if names
    }
    if same:
        return found
    others = {name: layer for name, layer in layers.items() if name not in found}
    why = "the model computes something else with another module in its place (a class check?)"
    alone = [n for n, layer in others.items() if not _run(model, example, expected, {n: layer})[1]]
    return found | dict.fromkeys(alone or others, why)


def _run(
    model: nn.Module,
    example: Tensor,
    expected: object,
    layers: Mapping[str, nn.Module],
    recorder: CallRecorder | None = None,
) -> tuple[dict[str, set[str]], bool]:
    """Returns the attributes read of every layer, and whether the output is as expected."""
    with _placeholders(layers, recorder) as reads, exclusive_rng(example.device), torch.no_grad():
        try:
            given: object = model(example.clone())
        except Exception:  # whatever the model does with a class that it does not know
            return reads, False
    return reads, alike(given, expected, TOLERANCE)


@contextmanager
def _placeholders(
    layers: Mapping[str, nn.Module], recorder: CallRecorder | None
) -> Iterator[dict[str, set[str]]]:
    """Turns the layers into placeholders; yields the attributes that are read, by name."""
    before = {name: (type(layer), layer.__dict__) for name, layer in layers.items()}
    reads: dict[str, set[str]] = {}
    try:
        for name, layer in layers.items():
            kind, contents = before[name]
            real = kind.__new__(kind)
            real.__dict__ = contents
            calls = recorder.calls(name) if recorder else ()
            placeholder = _Placeholder(real, calls).train(layer.training)
            reads[name] = placeholder.reads
            # The object itself becomes the placeholder, as in `surgery.with_layers`.
            layer.__class__, layer.__dict__ = _Placeholder, placeholder.__dict__
        yield reads
    finally:
        for name, layer in layers.items():
            layer.__class__, layer.__dict__ = before[name]
