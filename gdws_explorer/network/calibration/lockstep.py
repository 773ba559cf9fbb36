"""Batches that walk through a network together, from one layer to the next.

A method that changes a layer from what all the images show there needs every batch at that layer
before any goes on. Each batch's forward pass runs in a thread of its own that waits at the wanted
layers, one thread at a time: the network is passed once, whatever its forward method does, where
starting again for every layer would cost the square of its depth.
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

SUM = "+"  # before a layer's name: where its output is added to something else
ADDITIONS = ("add", "add_", "__add__", "__iadd__", "__radd__")


class LockstepForward:
    """The forward passes of `model` over `batches`, stopped at some of its modules.

    before, after : modules by name where the batches stop before (showing the input) or after
        (showing the output).
    sums : names out of these. Where such a layer's output, or its BatchNorm's, is added to another
        branch of the network, the batches stop too, under the name with "+" before it, showing
        the other branch. The layer is called again after the stop, for it may have changed.

    A context manager; leaving it ends the passes.
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
        self._walkers = [_BatchThread(model, batch) for batch in batches]

    def __enter__(self) -> LockstepForward:
        for walker in self._walkers:
            walker.start()
        return self

    def step(self) -> tuple[str, list[Tensor]] | None:
        """Walk on to the next stop: its name, and what each batch shows there; None at the end."""
        met = [walker.step() for walker in self._walkers]
        first = met[0]
        if first is None:
            return None
        return first[0], [each[1] for each in met if each is not None]

    @property
    def norm(self) -> nn.BatchNorm2d | None:
        """At a sum: the BatchNorm between the layer and the sum."""
        branch = self._walkers[0].branch
        return None if branch is None else branch.norm

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for walker in self._walkers:
            walker.end()
        for hook in self._hooks:
            hook.remove()


class _StopForward(BaseException):
    """Ends a walker's forward pass early."""


@dataclass
class ResidualBranch:
    """A layer's output on its way to a sum, through a BatchNorm or not."""

    name: str
    module: nn.Module
    x: Tensor
    out: Tensor
    norm: nn.BatchNorm2d | None = None

    def again(self) -> Tensor:
        """The same once more, the layer having changed."""
        out = self.module(self.x)
        return out if self.norm is None else self.norm(out)  # type: ignore[no-any-return]


class _Sums(TorchFunctionMode):
    """Looks at every addition of a walker's forward pass."""

    def __init__(self, walker: _BatchThread) -> None:
        super().__init__()
        self._walker = walker

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ADDITIONS and len(args) == 2 and not kwargs:
            args = self._walker.at_sum(args)
        return func(*args, **(kwargs or {}))


class _BatchThread(threading.Thread):
    def __init__(self, model: nn.Module, batch: Tensor) -> None:
        super().__init__(daemon=True)
        self._model = model
        self._batch = batch
        self._go = threading.Semaphore(0)
        self._there = threading.Semaphore(0)
        self._met: tuple[str, Tensor] | None = None
        self._branches: dict[int, ResidualBranch] = {}
        self.branch: ResidualBranch | None = None
        self._again = False
        self._error: BaseException | None = None
        self._ending = False
        self._done = False

    def run(self) -> None:
        self._go.acquire()
        try:
            if not self._ending:
                with torch.no_grad(), _Sums(self):
                    self._model(self._batch)
        except _StopForward:
            pass
        except BaseException as error:  # raised where the step was asked for
            self._error = error
        self._met, self._done = None, True
        self._there.release()

    def show(self, name: str, tensor: Tensor) -> None:
        """Wait at a stop (called by the hooks, in this thread)."""
        if self._again:
            return
        self._met = name, tensor
        self._there.release()
        self._go.acquire()
        if self._ending:
            raise _StopForward

    def follow(self, branch: ResidualBranch) -> None:
        """Remember a layer's output until it is added to something."""
        if not self._again:
            self._branches[id(branch.out)] = branch

    def follow_norm(self, norm: nn.BatchNorm2d, x: Tensor, out: Tensor) -> None:
        """The same behind a BatchNorm."""
        branch = None if self._again else self._branches.pop(id(x), None)
        if branch is not None and branch.norm is None:
            branch.norm, branch.out = norm, out
            self._branches[id(out)] = branch

    def at_sum(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The summands, of which one may be a branch: stop, then take it once more."""
        places = [i for i in (0, 1) if id(args[i]) in self._branches]
        if not places or not all(isinstance(a, Tensor) for a in args):
            return args
        place = places[0]
        branch = self._branches.pop(id(args[place]))
        self.branch = branch
        self.show(SUM + branch.name, args[1 - place])
        self.branch = None
        self._again = True
        new = branch.again()
        self._again = False
        return (new, args[1]) if place == 0 else (args[0], new)

    def step(self) -> tuple[str, Tensor] | None:
        if self._done:
            return None
        self._go.release()
        self._there.acquire()
        if self._error is not None:
            raise self._error
        return self._met

    def end(self) -> None:
        self._ending = True
        if self.is_alive():
            self._go.release()
            self.join()
        self._met = None
        self._branches.clear()


def _follow(name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        walker = threading.current_thread()
        if isinstance(walker, _BatchThread):
            walker.follow(ResidualBranch(name, module, inputs[0], output))

    return hook


def _follow_norm(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
    walker = threading.current_thread()
    if isinstance(walker, _BatchThread) and isinstance(module, nn.BatchNorm2d):
        walker.follow_norm(module, inputs[0], output)


def _stop_before(name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        walker = threading.current_thread()
        if isinstance(walker, _BatchThread):
            walker.show(name, inputs[0])

    return hook


def _stop_after(name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        walker = threading.current_thread()
        if isinstance(walker, _BatchThread):
            walker.show(name, output)

    return hook
