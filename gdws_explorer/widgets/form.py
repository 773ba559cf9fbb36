"""Small parts that every view is put together from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as w

from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.session.session import Session

WRAPPED = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 6px"}


def row(*children: w.Widget) -> w.HBox:
    """Beside each other, and below where there is no room."""
    return w.HBox(list(children), layout=w.Layout(**WRAPPED))


def button(text: str, icon: str, tooltip: str, width: int = 84) -> w.Button:
    """A button of a fixed width in pixels."""
    return w.Button(description=text, icon=icon, tooltip=tooltip, layout=wide(width))


def wide(pixels: int) -> w.Layout:
    """A layout of a fixed width."""
    return w.Layout(width=f"{pixels}px")


def labelled(kind: type[w.Widget], label: str, room: int, width: int, **given: Any) -> w.Widget:
    """An input with its label before it. room : pixels for the label, width : of all."""
    style = {"description_width": f"{room}px"}
    return kind(description=label, layout=wide(width), style=style, **given)


def on(session: Session, clicked: w.Button, action: Callable[[], object]) -> None:
    """Run `action` on a click; the user's errors become a message in place."""

    def run(_button: w.Button) -> None:
        with session.show_errors():
            action()

    clicked.on_click(run)


def on_change(widget: w.Widget, handler: Callable[[dict[str, Any]], object]) -> None:
    """Call `handler` with traitlets' change of `value`, except inside `silent(widget)`."""

    def run(change: dict[str, Any]) -> None:
        if threading.get_ident() not in _silent_threads(widget):
            handler(change)

    widget.observe(run, "value")


@contextmanager
def silent(*widgets: w.Widget) -> Iterator[None]:
    """Inside, this thread changes the widgets without a call of their `on_change` handlers.

    A change by another thread, such as the user's on the kernel's thread, is still handled.
    """
    me = threading.get_ident()
    silenced = [threads for each in widgets if me not in (threads := _silent_threads(each))]
    for threads in silenced:
        threads.add(me)
    try:
        yield
    finally:
        for threads in silenced:
            threads.discard(me)


def set_value(widget: w.Widget, value: Any) -> None:
    """Set a widget's value without a call of its `on_change` handlers."""
    with silent(widget):
        widget.value = value


def _silent_threads(widget: w.Widget) -> set[int]:
    """Identifiers of the threads that are inside `silent(widget)`; kept with the widget."""
    threads: set[int] = widget.__dict__.setdefault("_silent_threads", set())
    return threads


@contextmanager
def told(place: w.HTML) -> Iterator[None]:
    """Turn an error of the user's into a sentence in this place, beside what was clicked."""
    try:
        yield
    except ExplorerError as error:
        place.value = refusal(error)


def refusal(error: Exception) -> str:
    """An error as HTML, marked by a word and not by colour alone."""
    text = escape(str(error)).replace("\n", "<br>")
    return f'<span class="gx-error" role="alert">Cannot do that:</span> {text}'


def inside(widget: w.Widget) -> Iterator[w.Widget]:
    """All widgets in a widget, which ipywidgets would keep for ever."""
    for child in getattr(widget, "children", ()):
        yield from inside(child)
        yield child
    for name in ("layout", "style"):
        if isinstance(owned := getattr(widget, name, None), w.Widget):
            yield owned


def share(text: str, what: str) -> float | None:
    """`45` or `45 %` as a fraction, None for nothing; DataError for anything else."""
    number = text.strip().rstrip("%").strip().replace(",", ".")
    if not number:
        return None
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise DataError(f"{what} is {text!r}; expected per cent from 0 to 100, or nothing.")
    return value / 100


def radius(text: str) -> float:
    """`0.15` or `8/255` as a number; DataError for anything else."""
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise DataError(f"ε is {text!r}; expected a number such as 0.15 or 8/255.") from None
