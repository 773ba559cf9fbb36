"""A decorator that runs a method under its object's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class HasLock(Protocol):
    """An object with a lock around its state."""

    @property
    def lock(self) -> threading.RLock:
        """The lock; a thread may take it again while it holds it."""
        ...


Owner = TypeVar("Owner", bound=HasLock)


def locked(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Runs the method while its object's lock is held."""

    @wraps(method)
    def run(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with self.lock:
            return method(self, *args, **kwargs)

    return run
