"""Undo and redo of immutable states, where one gesture is one step."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

State = TypeVar("State")
STEPS = 200  # enough for a lesson, and a bound on memory


class UndoHistory(Generic[State]):
    """The present state, and the steps before and after it."""

    def __init__(self, first: State) -> None:
        self.first = first
        self.present = first
        self.past: deque[State] = deque(maxlen=STEPS)
        self.future: deque[State] = deque(maxlen=STEPS)
        self._gesture: object = None

    def put(self, state: State, gesture: object = None) -> None:
        """Makes `state` the present one; states of one gesture (not None) are one step."""
        if state == self.present:
            return
        if gesture is None or gesture != self._gesture:
            self.past.append(self.present)
        self._gesture = gesture
        self.future.clear()
        self.present = state

    def undo(self) -> bool:
        """Goes back one step; False at the beginning."""
        return self._step(self.past, self.future)

    def redo(self) -> bool:
        """Goes forward one step; False at the end."""
        return self._step(self.future, self.past)

    def _step(self, source: deque[State], target: deque[State]) -> bool:
        if not source:
            return False
        target.append(self.present)
        self.present = source.pop()
        self._gesture = None
        return True
