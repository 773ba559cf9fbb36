"""One measurement after the other, whoever asks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gdws_explorer.robust.guard import Cancel, asked_to_stop

LOOK = 0.1  # seconds between two looks at whether to stop waiting


class Turns:
    """A lock that goes to whoever has waited longest.

    The noise of an attack comes from the process's own random numbers: two measurements at once
    would take each other's, and no record could be measured again. A sweep that takes a turn for
    every plan lets others in between.
    """

    def __init__(self) -> None:
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, cancel: Cancel = None) -> Iterator[None]:
        """Wait for a turn and have it until the block ends; raises Cancelled."""
        me = object()
        with self._moved:
            self._line.append(me)
        try:
            with self._moved:
                while self._line[0] is not me:
                    asked_to_stop(cancel)
                    self._moved.wait(LOOK)
            yield
        finally:
            with self._moved:
                self._line.remove(me)
                self._moved.notify_all()
