"""The number of torch's threads inside a block of code.

torch has one number of threads per thread of Python, and one for the whole process with which new
threads begin; setting the first also sets the second. The two module variables below follow that
number, so there is one of each per process, as of the number itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

# With fewer values in a batch, torch's threads wait more than they work: 360 digits under PGD-20
# take 1.1 s with one thread, also beside another busy process; with two they take 0.8 s on an idle
# machine, but 3 to 50 s beside another busy process (a browser, a second kernel).
SMALL_BATCH = 2**14


class _RequestedCounts(threading.local):
    """The numbers that the open blocks of this thread requested, the innermost last."""

    def __init__(self) -> None:
        self.numbers: list[int] = []


class _OutsideCount:
    """The number that the process had before the first of all open blocks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.number = 0


_REQUESTED = _RequestedCounts()  # per thread, as torch's own number is
_OUTSIDE = _OutsideCount()  # one per process, as the number with which new threads begin


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Computes with `number` of torch's threads, and with as many as before afterwards.

    None leaves the number as it is. Blocks may be nested, and may overlap in several threads in any
    order: a block that ends puts back the number of the block around it in its own thread. The last
    of all open blocks to end puts back what the process had before the first of them began, and
    not what another block had requested.
    """
    if number is None:
        yield
        return
    outermost = not _REQUESTED.numbers
    with _OUTSIDE.lock:
        if outermost:
            if _OUTSIDE.blocks == 0:
                _OUTSIDE.number = torch.get_num_threads()
            _OUTSIDE.blocks += 1
        torch.set_num_threads(number)
    _REQUESTED.numbers.append(number)
    try:
        yield
    finally:
        _REQUESTED.numbers.pop()
        with _OUTSIDE.lock:
            if outermost:
                _OUTSIDE.blocks -= 1
            torch.set_num_threads(_OUTSIDE.number if outermost else _REQUESTED.numbers[-1])


def one_thread() -> AbstractContextManager[None]:
    """Computes with one thread; small matrices are up to 30 times faster than with several."""
    return torch_threads(1)


def threads_for(values: int) -> int:
    """Returns how many threads a batch of so many values needs: one, or as many as torch has."""
    return 1 if values <= SMALL_BATCH else torch.get_num_threads()
