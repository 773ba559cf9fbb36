"""Exclusive use of torch's random generators, which all threads of a process share.

The lock below is a module variable because the generators are: there is one per process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class _FairLock:
    """A lock for the thread that has waited longest; its owner may take it again.

    A training draws thousands of times an hour. With an ordinary lock it could take the lock again
    and again before a waiting thread wakes up.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner == me:
            self._depth += 1
            return
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket:
                    self._changed.wait()
            except BaseException:  # Ctrl-C: a ticket without a thread would block all behind it
                self._queue.remove(ticket)
                self._changed.notify_all()
                raise
            self._owner, self._depth = me, 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            with self._changed:
                self._owner = None
                self._queue.popleft()
                self._changed.notify_all()


_RNG_LOCK = _FairLock()  # one per process, as the generators that it protects


@contextmanager
def exclusive_rng(device: torch.device) -> Iterator[None]:
    """Uses torch's generators alone; afterwards they are as before, on the CPU and on `device`.

    Seed inside the block: the numbers then depend on no other thread. Other threads wait for the
    block to end, so keep it short: one batch, one step.
    """
    with _RNG_LOCK:
        mps = torch.mps.get_rng_state() if device.type == "mps" else None
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            try:
                yield
            finally:
                if mps is not None:
                    torch.mps.set_rng_state(mps)


class RngStream:
    """Random numbers for long work that draws a few at a time, between the draws of other work.

        stream = RngStream(device, seed)
        with stream.drawing():  # torch's own generators, in the state where this stream left them
            ...

    state : the state of each generator, by its name, as a tensor; may be set.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device = device
        with exclusive_rng(device):
            torch.manual_seed(seed)
            self.state = self._current_state()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draws from this stream inside the block; blocks of one stream cannot be nested."""
        with exclusive_rng(self._device):
            torch.set_rng_state(self.state["cpu"].cpu())
            if "cuda" in self.state:
                torch.cuda.set_rng_state(self.state["cuda"].cpu(), self._device)
            if "mps" in self.state:
                torch.mps.set_rng_state(self.state["mps"].cpu())
            try:
                yield
            finally:
                self.state = self._current_state()

    def _current_state(self) -> dict[str, Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self._device)
        if self._device.type == "mps":
            state["mps"] = torch.mps.get_rng_state()
        return state
