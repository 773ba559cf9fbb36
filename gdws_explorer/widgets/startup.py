"""A quicker import of plotly, and a progress bar while an explorer opens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import ipywidgets as w
from IPython.core.getipython import get_ipython
from IPython.display import HTML, DisplayHandle, display

from gdws_explorer.widgets.form import inside

GRAMMAR = "rfc3987_syntax"


@contextmanager
def quick_plotly() -> Iterator[None]:
    """A context in which plotly is imported a second or two faster where JupyterLab is installed.

    plotly imports nbformat, nbformat imports jsonschema, and jsonschema compiles a grammar of
    international web addresses when it is imported. In this context jsonschema gets a function
    that compiles the grammar when it is first called.
    """
    if GRAMMAR in sys.modules or "jsonschema" in sys.modules or find_spec(GRAMMAR) is None:
        yield
        return
    later = ModuleType(GRAMMAR)
    later.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[GRAMMAR] = later
    try:
        yield
    finally:
        if sys.modules.get(GRAMMAR) is later:
            del sys.modules[GRAMMAR]


def _is_valid_syntax(term: str, value: str) -> bool:
    return bool(import_module(GRAMMAR).is_valid_syntax(term, value))


PATIENCE = 0.7  # seconds before the progress bar is shown


@contextmanager
def waiting(text: str) -> Iterator[Callable[[float], None]]:
    """Yields a function that takes the fraction done.

    In a notebook it shows a progress bar, which is removed at the end.
    """
    started = time.monotonic()
    shown: list[w.HBox] = []
    places: list[DisplayHandle] = []

    def progress(fraction: float) -> None:
        early = time.monotonic() - started < PATIENCE
        if get_ipython() is None or (not shown and (early or fraction >= 1)):
            return
        if not shown:
            bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="240px"))
            shown.append(w.HBox([bar, w.HTML()]))
            places.append(display(shown[0], display_id=True))  # type: ignore[no-untyped-call]
        bar, words = shown[0].children
        bar.value, words.value = fraction, f"{text} … {fraction:.0%}"

    try:
        yield progress
    finally:
        for place in places:  # a saved notebook must not refer to closed widgets
            place.update(HTML(""))  # type: ignore[no-untyped-call]
        for box in shown:
            for widget in (*inside(box), box):
                widget.close()
