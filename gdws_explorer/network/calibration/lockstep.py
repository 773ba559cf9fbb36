"""Forward passes of several batches in lockstep: all stop at a layer before any continues.

A method that changes a layer from the activations of all images needs every batch at that layer
first. Each batch's forward pass runs in its own thread, which waits at the chosen layers; one
thread runs at a time. The network is passed once, whatever its forward method does. Starting again
for every layer would cost the square of its depth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SUM = "+"  # prefix of a layer's name: the stop at the sum that its output enters
ADDITIONS = ("add", "add_", "__add__", "__iadd__", "__radd__")


class LockstepForward:
    """A context of forward passes of `model` over `batches` that stop at some modules.

    before, after : modules by name where the passes stop before the call, with the input, or
        after it, with the output.
    sums : some of these names. The passes also stop where such a layer's output, or its
        BatchNorm's, is added to another branch of the network: with the name after "+", and the
        other branch. The layer is called again after the stop, because it may have changed.

    Leaving the context ends the passes.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Tensor],
        before: Mapping[str, nn.Module],
        after: Mapping[str, nn.Module],
        sums: Collection[str] = (),
    ) -> None:
        followed = {n: m for n, m in {**before, **after}.items() if n in sums}
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)] if sums else []
        self._hooks = [
            *(m.register_forward_hook(_follow(name)) for name, m in followed.items()),
            *(m.register_forward_hook(_follow_norm) for m in norms),
            *(m.register_forward_pre_hook(_stop_before(name)) for name, m in before.items()),
            *(m.register_forward_hook(_stop_after(name)) for name, m in after.items()),
        ]
        self._threads = [_BatchThread(model, batch) for batch in batches]

    def __enter__(self) -> LockstepForward:
        for thread in self._threads:
            thread.start()
        return self

    def step(self) -> tuple[str, list[Tensor]] | None:
        """Runs to the next stop; returns its name and every batch's tensor, None at the end."""
        stops = [thread.step() for thread in self._threads]
        first = stops[0]
        if first is None:
            return None
        return first[0], [stop[1] for stop in stops if stop is not None]

    @property
    def norm(self) -> nn.BatchNorm2d | None:
        """The BatchNorm between the layer and the sum, at a stop of a sum."""
        branch = self._threads[0].branch
        return None if branch is None else branch.norm

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for thread in self._threads:
            thread.end()
        for hook in self._hooks:
            hook.remove()


class _StopForward(BaseException):
    """Raised inside a batch's forward pass to end it early."""


@dataclass
class ResidualBranch:
    """A layer's output before it enters a sum, possibly through a BatchNorm."""

    name: str
    module: nn.Module
    x: Tensor
    out: Tensor
    norm: nn.BatchNorm2d | None = None

    def recompute(self) -> Tensor:
        """Returns the output of the layer as it is now."""
        out = self.module(self.x)
        return out if self.norm is None else self.norm(out)  # type: ignore[no-any-return]


class _Sums(TorchFunctionMode):
    """A context that shows every addition of a forward pass to its thread."""

    def __init__(self, thread: _BatchThread) -> None:
        super().__init__()
        self._thread = thread

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ADDITIONS and len(args) == 2 and not kwargs:
            args = self._thread.at_sum(args)
        return func(*args, **(kwargs or {}))


class _BatchThread(threading.Thread):
    """The forward pass of one batch, which runs from stop to stop.

    branch : at a stop of a sum, the branch of the layer; None elsewhere.
    """

    def __init__(self, model: nn.Module, batch: Tensor) -> None:
        super().__init__(daemon=True)
        self._model = model
        self._batch = batch
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._stop_at: tuple[str, Tensor] | None = None
        self._branches: dict[int, ResidualBranch] = {}
        self.branch: ResidualBranch | None = None
        self._recomputing = False
        self._error: BaseException | None = None
        self._ending = False
        self._done = False

    def run(self) -> None:
        """Runs the forward pass."""
        self._go.acquire()
        try:
            if not self._ending:
                with torch.no_grad(), _Sums(self):
                    self._model(self._batch)
        except _StopForward:
            pass
        except BaseException as error:  # raised by `step`, in the caller's thread
            self._error = error
        self._stop_at, self._done = None, True
        self._stopped.release()

    def show(self, name: str, tensor: Tensor) -> None:
        """Waits at a stop; the hooks call it in this thread."""
        if self._recomputing:
            return
        self._stop_at = name, tensor
        self._stopped.release()
        self._go.acquire()
        if self._ending:
            raise _StopForward

    def follow(self, branch: ResidualBranch) -> None:
        """Stores a layer's output until it enters a sum."""
        if not self._recomputing:
            self._branches[id(branch.out)] = branch

    def follow_norm(self, norm: nn.BatchNorm2d, x: Tensor, out: Tensor) -> None:
        """Replaces a stored output by that of the BatchNorm after it."""
        branch = None if self._recomputing else self._branches.pop(id(x), None)
        if branch is not None and branch.norm is None:
            branch.norm, branch.out = norm, out
            self._branches[id(out)] = branch

    def at_sum(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the summands; if one is a stored output, stops and recomputes it."""
        places = [i for i in (0, 1) if id(args[i]) in self._branches]
        if not places or not all(isinstance(a, Tensor) for a in args):
            return args
        place = places[0]
        branch = self._branches.pop(id(args[place]))
        self.branch = branch
        self.show(SUM + branch.name, args[1 - place])
        self.branch = None
        self._recomputing = True
        new = branch.recompute()
        self._recomputing = False
        return (new, args[1]) if place == 0 else (args[0], new)

    def step(self) -> tuple[str, Tensor] | None:
        """Runs to the next stop; called in the caller's thread."""
        if self._done:
            return None
        self._go.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error
        return self._stop_at

    def end(self) -> None:
        """Ends the forward pass and waits for the thread."""
        self._ending = True
        if self.is_alive():
            self._go.release()
            self.join()
        self._stop_at = None
        self._branches.clear()


def _follow(name: str) -> Callable[..., None]:
    """Returns a forward hook that stores a layer's output."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.follow(ResidualBranch(name, module, inputs[0], output))

    return hook


def _follow_norm(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Follows a stored output through a BatchNorm; a forward hook."""
    thread = threading.current_thread()
    if isinstance(thread, _BatchThread) and isinstance(module, nn.BatchNorm2d):
        thread.follow_norm(module, inputs[0], output)


def _stop_before(name: str) -> Callable[..., None]:
    """Returns a forward pre-hook that stops with the module's input."""

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.show(name, inputs[0])

    return hook


def _stop_after(name: str) -> Callable[..., None]:
    """Returns a forward hook that stops with the module's output."""

    def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.show(name, output)

    return hook
