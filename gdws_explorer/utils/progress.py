"""Functions that report progress, in every form that users give."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from gdws_explorer.typing import AnyProgressFn, Progress, ProgressFn


def report(progress: ProgressFn | None, fraction: float, detail: Any = None) -> None:
    """Calls `progress`, if there is one, with the finished fraction, at most 1, and its detail."""
    if progress is not None:
        progress(Progress(min(1.0, fraction), detail))


def _itself(detail: Any) -> Any:
    return detail


def progress_fn(
    given: AnyProgressFn | None, second: Callable[[Any], object] = _itself
) -> ProgressFn | None:
    """Returns a function of one `Progress` for a function that a user gave.

    A function that needs two arguments, or takes any number of them, is called in the older form:
    with the fraction and the detail. Every other function is called with the `Progress` alone.

    Parameters
    ----------
    given : callable or None
        The user's function; None reports nothing.
    second : callable, optional
        Makes the second argument of the older form from the detail.

    Returns
    -------
    callable or None
        A function of one `Progress`; None for None.

    Examples
    --------
    >>> seen = []
    >>> report = progress_fn(lambda fraction, detail: seen.append((fraction, detail)))
    >>> report(Progress(0.5, "layer3"))
    >>> progress_fn(seen.append)(Progress(1.0))
    >>> seen
    [(0.5, 'layer3'), 1.0]
    """
    if given is None:
        return None
    if not _takes_two(given):
        return cast(ProgressFn, given)
    older = cast(Callable[[float, Any], object], given)

    def report(progress: Progress) -> None:
        older(float(progress), second(progress.detail))

    return report


def progress_between(
    progress: ProgressFn | None, start: float, end: float, detail: Any = None
) -> ProgressFn | None:
    """Returns a function that reports a part of longer work, which goes from `start` to `end`.

    The detail of the part is passed on; `detail` takes its place where it has none.

    Examples
    --------
    >>> seen = []
    >>> progress_between(seen.append, 0.5, 1.0)(Progress(0.5))
    >>> seen
    [0.75]
    """
    if progress is None:
        return None

    def report(part: float) -> None:
        own = getattr(part, "detail", None)
        progress(Progress(start + (end - start) * part, detail if own is None else own))

    return report


def _takes_two(function: Callable[..., object]) -> bool:
    """Whether a call with one argument would fail, or the function takes any number of them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each for each in parameters if each.kind in positional and each.default is each.empty]
    return len(needed) >= 2
