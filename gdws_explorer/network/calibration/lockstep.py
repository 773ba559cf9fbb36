"""Forward passes of several batches that advance together, from one layer to the next.

A method that changes a layer by what all images show there needs every batch at that layer before
any of them goes on. Each batch's forward pass runs in a thread of its own, which waits at the
chosen layers; only one thread runs at a time. The network is passed once, whatever its forward
method does; starting again for every layer would cost the square of its depth.
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

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.tensors import layer_input, tensors_of

SUM = "+"  # before a layer's name: the sum that its output goes into
IN_PLACE = ("add_", "__iadd__")
ADDITIONS = ("add", "__add__", "__radd__", *IN_PLACE)
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)  # exactly these: a subclass may do more than scale
# Functions of a tensor that do not look at its numbers.
METADATA = frozenset(
    {"size", "dim", "ndimension", "numel", "nelement", "stride", "element_size", "is_contiguous"}
    | {"is_floating_point", "is_complex", "get_device", "data_ptr", "__len__", "__hash__"}
)


@dataclass(eq=False)
class ResidualBranch:
    """A layer's output on its way to a sum, through a BatchNorm or directly.

    name, module, x : the layer, and its input in this call. out : the tensor that is expected in
    the sum. version : of `out`, which an in-place operation raises. norm : the BatchNorm passed.
    other : the shape of the other summand, once the sum is reached. reads : how often `out`, or
    the tensor before the norm, is read by anything but the norm and the sum. changed : whether
    `out` was changed in place before the sum.
    """

    name: str
    module: nn.Module
    x: Tensor
    out: Tensor
    version: int
    norm: nn.Module | None = None
    other: torch.Size | None = None
    reads: int = 0
    changed: bool = False

    def recompute(self) -> Tensor:
        """Returns the output of the layer as it is now."""
        out = self.module(self.x)
        return out if self.norm is None else self.norm(out)  # type: ignore[no-any-return]


class LockstepForward:
    """The forward passes of `model` over `batches`, stopped at some of its modules.

    batches : images, on any device and in any floating type; the model gets copies in its own.
    before, after : modules by name where the batches stop before the module (showing its input)
        or after it (showing its output).
    sums : names out of these. Where such a layer's output, or that of its BatchNorm, is added to
        another branch of the network, the batches stop again, under the name with "+" before it,
        showing the other branch. After that stop the layer is called once more, because it may
        have changed, and its new output is written into the tensor that is added.

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
        norms = [m for m in model.modules() if type(m) in NORMS] if sums else []
        self._hooks = [
            *(
                m.register_forward_hook(_follow(name), with_kwargs=True)
                for name, m in followed.items()
            ),
            *(m.register_forward_hook(_follow_norm, with_kwargs=True) for m in norms),
            *(
                m.register_forward_pre_hook(_stop_before(name), with_kwargs=True)
                for name, m in before.items()
            ),
            *(m.register_forward_hook(_stop_after(name)) for name, m in after.items()),
        ]
        self._threads = [_BatchThread(model, batch) for batch in batches]

    def __enter__(self) -> LockstepForward:
        for thread in self._threads:
            thread.start()
        return self

    def step(self) -> tuple[str, list[Tensor]] | None:
        """Runs to the next stop; returns its name and every batch's tensor, None at the end.

        Raises ModelError where the batches do not stop at the same place: the network chooses
        its way by the numbers of its input.
        """
        stops = [thread.step() for thread in self._threads]
        names = [None if stop is None else stop[0] for stop in stops]
        if len(set(names)) > 1:
            places = " and ".join(
                sorted({"the end" if n is None else repr(n.removeprefix(SUM)) for n in names})
            )
            raise ModelError(
                f"the batches take different ways through the network: they are at {places} at "
                "the same time. Its forward method depends on the numbers of its input (an early "
                "exit, routing), so layers cannot be solved for on all images together; use "
                "images that take one way, or build without them."
            )
        if names[0] is None:
            return None
        return names[0], [stop[1] for stop in stops if stop is not None]

    @property
    def branches(self) -> list[ResidualBranch]:
        """The outputs of the layers in `sums` in the first batch, in the order of their calls."""
        return self._threads[0].followed

    @property
    def norm(self) -> nn.Module | None:
        """At a sum: the BatchNorm between the layer and the sum."""
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
    """Ends a batch's forward pass early."""


class _TensorReads(TorchFunctionMode):
    """A context that shows every torch function of a forward pass to its thread."""

    def __init__(self, thread: _BatchThread) -> None:
        super().__init__()
        self._thread = thread

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ADDITIONS and len(args) == 2 and not kwargs:
            branch = self._thread.at_sum(args)
            if branch is not None and name in IN_PLACE and args[0] is branch.out:
                self._thread.forget(branch)  # the tensor is the sum from here on
            return func(*args)
        given = func(*args, **kwargs)
        if name not in METADATA and not (name == "__get__" and not isinstance(given, Tensor)):
            self._thread.note_reads((args, kwargs))
        return given


class _BatchThread(threading.Thread):
    """The forward pass of one batch."""

    def __init__(self, model: nn.Module, batch: Tensor) -> None:
        super().__init__(daemon=True)
        self._model = model
        self._batch = batch
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._place: tuple[str, Tensor] | None = None
        self._branches: dict[int, ResidualBranch] = {}  # by the id of the tensor; they keep it
        self._kept: list[Tensor] = []  # tensors before a norm, so that their ids stay theirs
        self.followed: list[ResidualBranch] = []
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
                with torch.no_grad(), _TensorReads(self):
                    self._model(as_input(self._model, self._batch))
        except _StopForward:
            pass
        except BaseException as error:  # raised by the step that is waited for
            self._error = error
        self._place, self._done = None, True
        self._stopped.release()

    def show(self, name: str, tensor: Tensor) -> None:
        """Waits at a stop; the hooks call it in this thread."""
        if self._recomputing:
            return
        self._place = name, tensor
        self._stopped.release()
        self._go.acquire()
        if self._ending:
            raise _StopForward

    def follow(self, name: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
        """Stores a layer's output until it is added to something."""
        if not self._recomputing:
            branch = ResidualBranch(name, module, x, out, out._version)
            self._branches[id(out)] = branch
            self.followed.append(branch)

    def follow_norm(self, norm: nn.Module, x: Tensor, out: Tensor) -> None:
        """Replaces a stored output by that of the BatchNorm after it."""
        branch = None if self._recomputing else self._branches.get(id(x))
        if branch is None or branch.out is not x or branch.other is not None:
            return
        branch.reads -= 1  # the norm's own
        branch.changed |= x._version != branch.version
        if branch.norm is None and not branch.changed and out is not x:
            self._kept.append(x)
            branch.norm, branch.out, branch.version = norm, out, out._version
            self._branches[id(out)] = branch
        else:
            branch.reads += 1

    def note_reads(self, given: object) -> None:
        """Counts the functions that read a followed tensor other than by its norm and its sum."""
        if self._branches and not self._recomputing:
            for tensor in tensors_of(given):
                branch = self._branches.get(id(tensor))
                if branch is not None:
                    branch.reads += 1

    def at_sum(self, args: tuple[Any, ...]) -> ResidualBranch | None:
        """Stops where one of two summands is a followed output, then writes its new numbers.

        Returns the branch that is added, None where there is none.
        """
        branch = None if self._recomputing else self._summand(args)
        for tensor in args:
            read = self._branches.get(id(tensor)) if isinstance(tensor, Tensor) else None
            if read is not None and (read is not branch or tensor is not branch.out):
                read.reads += 1
        if branch is None:
            return None
        other = args[1] if args[0] is branch.out else args[0]
        branch.other = other.shape
        branch.changed |= branch.out._version != branch.version
        if branch.changed or branch.other != branch.out.shape:
            return branch
        self.branch = branch
        self.show(SUM + branch.name, other)
        self.branch = None
        self._recomputing = True
        branch.out.copy_(branch.recompute())
        self._recomputing = False
        return branch

    def forget(self, branch: ResidualBranch) -> None:
        """Stops following the tensor of a branch."""
        self._branches.pop(id(branch.out), None)
        self._kept.append(branch.out)  # no other tensor may get its id

    def _summand(self, args: tuple[Any, ...]) -> ResidualBranch | None:
        """Returns the followed summand; of two, that whose layer has more weights for an output."""
        if not all(isinstance(each, Tensor) for each in args) or args[0] is args[1]:
            return None
        found = [self._branches.get(id(each)) for each in args]
        known = [
            b for b in found if b is not None and b.other is None and id(b.out) in map(id, args)
        ]
        return max(known, key=lambda b: (_fan_in(b.module), self.followed.index(b)), default=None)

    def step(self) -> tuple[str, Tensor] | None:
        """Runs to the next stop; called in the caller's thread."""
        if self._done:
            return None
        self._go.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error
        return self._place

    def end(self) -> None:
        """Ends the forward pass and waits for the thread."""
        self._ending = True
        if self.is_alive():
            self._go.release()
            self.join()
        self._place = None
        self._branches.clear()
        self._kept.clear()
        self.followed.clear()


def _fan_in(module: nn.Module) -> int:
    """Returns the number of weights behind one output number; 0 where it is not known."""
    weight = getattr(module, "weight", None)
    return weight[0].numel() if isinstance(weight, Tensor) else 0


def _follow(name: str) -> Callable[..., None]:
    def hook(
        module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.follow(name, module, layer_input(inputs, kwargs), output)

    return hook


def _follow_norm(
    module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
) -> None:
    thread = threading.current_thread()
    if isinstance(thread, _BatchThread):
        thread.follow_norm(module, layer_input(inputs, kwargs), output)


def _stop_before(name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.show(name, layer_input(inputs, kwargs))

    return hook


def _stop_after(name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        thread = threading.current_thread()
        if isinstance(thread, _BatchThread):
            thread.show(name, output)

    return hook
