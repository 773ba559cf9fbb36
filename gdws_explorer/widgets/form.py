"""Small parts of the views: buttons, inputs with labels, rows, error messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as w

from gdws_explorer.errors import ExplorerError
from gdws_explorer.session.session import Session

WRAPPED = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 6px"}


def row(*children: w.Widget) -> w.HBox:
    """Returns a box with its children in a row, which wraps where the page is narrow."""
    return w.HBox(list(children), layout=w.Layout(**WRAPPED))


def button(text: str, icon: str, tooltip: str, width: int = 84) -> w.Button:
    """Returns a button. width : in pixels."""
    return w.Button(description=text, icon=icon, tooltip=tooltip, layout=wide(width))


def wide(pixels: int) -> w.Layout:
    """Returns a layout of a fixed width."""
    return w.Layout(width=f"{pixels}px")


def labelled(
    kind: type[w.Widget], label: str, label_width: int, width: int, **options: Any
) -> w.Widget:
    """Returns an input with a label before it.

    kind : the class of the input. label_width, width : of the label and of both, in pixels.
    options : other arguments of the class.
    """
    style = {"description_width": f"{label_width}px"}
    return kind(description=label, layout=wide(width), style=style, **options)


def on(session: Session, clicked: w.Button, action: Callable[[], object]) -> None:
    """Calls `action` on a click; an ExplorerError becomes a message of the session."""

    def run(_button: w.Button) -> None:
        with session.show_errors():
            action()

    clicked.on_click(run)


def on_change(widget: w.Widget, handler: Callable[[dict[str, Any]], object]) -> None:
    """Calls `handler` with traitlets' change of `value`, except inside `silent(widget)`."""

    def run(change: dict[str, Any]) -> None:
        if threading.get_ident() not in _silent_threads(widget):
            handler(change)

    widget.observe(run, "value")


@contextmanager
def silent(*widgets: w.Widget) -> Iterator[None]:
    """A context in which this thread changes widgets without a call of their handlers.

    The handlers are those of `on_change`. A change by another thread, such as a user's input on
    the kernel's thread, is still handled.
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
    """Sets a widget's value without a call of its `on_change` handlers."""
    with silent(widget):
        widget.value = value


def _silent_threads(widget: w.Widget) -> set[int]:
    """Identifiers of the threads that are inside `silent(widget)`; stored with the widget."""
    threads: set[int] = widget.__dict__.setdefault("_silent_threads", set())
    return threads


@contextmanager
def errors_in(place: w.HTML) -> Iterator[None]:
    """A context in which an ExplorerError is shown as text in `place`."""
    try:
        yield
    except ExplorerError as error:
        place.value = error_text(error)


def error_text(error: Exception) -> str:
    """Returns an error as HTML, marked by words as well as by a colour."""
    text = escape(str(error)).replace("\n", "<br>")
    return f'<span class="gx-error" role="alert">Cannot do that:</span> {text}'


def inside(widget: w.Widget) -> Iterator[w.Widget]:
    """Yields all widgets in a widget; ipywidgets keeps each of them until it is closed."""
    for child in getattr(widget, "children", ()):
        yield from inside(child)
        yield child
    for name in ("layout", "style"):
        if isinstance(owned := getattr(widget, name, None), w.Widget):
            yield owned
