"""What a person sees while something takes seconds, before there is an explorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets as w
from IPython.core.getipython import get_ipython
from IPython.display import HTML, DisplayHandle, display

from gdws_explorer.widgets.parts import inside

PATIENCE = 0.7  # seconds without a word


@contextmanager
def waiting(text: str) -> Iterator[Callable[[float], None]]:
    """A function that takes the fraction done; in a notebook it shows a bar that goes again."""
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
            places.append(display(shown[0], display_id=True))
        bar, words = shown[0].children
        bar.value, words.value = fraction, f"{text} … {fraction:.0%}"

    try:
        yield progress
    finally:
        for place in places:  # a saved notebook must not ask for widgets that are gone
            place.update(HTML(""))
        for box in shown:
            for widget in (*inside(box), box):
                widget.close()
