"""torch's random numbers are one for all threads: whoever needs them has them alone for a while."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class _FairLock:
    """A lock that goes to whoever has waited longest, and may be taken again by its owner.

    A training draws thousands of times an hour; an ordinary lock would come back to it each time.
    """

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._line: deque[object] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner == me:
            self._depth += 1
            return
        ticket = object()
        with self._moved:
            self._line.append(ticket)
            try:
                while self._line[0] is not ticket:
                    self._moved.wait()
            except BaseException:  # Ctrl-C: nobody may wait behind one who has gone
                self._line.remove(ticket)
                self._moved.notify_all()
                raise
            self._owner, self._depth = me, 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            with self._moved:
                self._owner = None
                self._line.popleft()
                self._moved.notify_all()


_RNG_LOCK = _FairLock()  # as global as the generators that it is for


@contextmanager
def exclusive_rng(device: torch.device) -> Iterator[None]:
    """Have torch's generators alone, and put them back as they were, on the CPU and on `device`.

    Seed inside: what is drawn then depends on nothing that other threads do. Others wait, so keep
    it short: one batch, one step.
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
    """Random numbers of one piece of work that goes on for long, a little at a time.

        stream = Stream(device, seed)
        with stream.drawing():  # torch's own generators, where this stream left off
            ...

    state : where it is, by the generator's name, as tensors; may be set.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device = device
        with exclusive_rng(device):
            torch.manual_seed(seed)
            self.state = self._now()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from this stream until the block ends; not within itself."""
        with exclusive_rng(self._device):
            torch.set_rng_state(self.state["cpu"].cpu())
            if "cuda" in self.state:
                torch.cuda.set_rng_state(self.state["cuda"].cpu(), self._device)
            if "mps" in self.state:
                torch.mps.set_rng_state(self.state["mps"].cpu())
            try:
                yield
            finally:
                self.state = self._now()

    def _now(self) -> dict[str, Tensor]:
        found = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self._device)
        if self._device.type == "mps":
            found["mps"] = torch.mps.get_rng_state()
        return found
