"""The number of torch's threads inside a block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


class _RequestedCounts(threading.local):
    """The numbers of threads that the blocks around this place asked for."""

    def __init__(self) -> None:
        self.numbers: list[int] = []


class _OutsideCount:
    """How many threads torch had before the first of all blocks that are open now."""

    lock = threading.Lock()
    blocks = 0
    number = 0


_REQUESTED = _RequestedCounts()


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Compute with `number` of torch's threads, and with as many as before afterwards.

    torch's number is also what threads to come begin with: of two blocks side by side, the one that
    ends last must not put back what the other had asked for.
    """
    outermost = not _REQUESTED.numbers
    if outermost:
        with _OutsideCount.lock:
            if _OutsideCount.blocks == 0:
                _OutsideCount.number = torch.get_num_threads()
            _OutsideCount.blocks += 1
    _REQUESTED.numbers.append(number)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        _REQUESTED.numbers.pop()
        if outermost:
            with _OutsideCount.lock:
                _OutsideCount.blocks -= 1
                torch.set_num_threads(_OutsideCount.number)
        else:
            torch.set_num_threads(_REQUESTED.numbers[-1])


def one_thread() -> AbstractContextManager[None]:
    """Compute with one thread: small matrices are up to 30 times faster than on torch's default."""
    return torch_threads(1)
