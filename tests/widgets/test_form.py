"""Helpers of the views: values that are set without a call of their handlers."""

import threading

import ipywidgets as w
import pytest

from gdws_explorer.widgets.form import on_change, set_value, silent


@pytest.fixture
def heard():
    """A text input and the values that its handler was called with."""
    widget, values = w.Text(), []
    on_change(widget, lambda change: values.append(change["new"]))
    return widget, values


def test_a_handler_hears_changes_but_not_inside_silent(heard):
    widget, values = heard
    widget.value = "a"
    set_value(widget, "b")
    with silent(widget):
        set_value(widget, "c")
        widget.value = "d"
    assert values == ["a"]
    widget.value = "e"
    assert values == ["a", "e"]


def test_silent_leaves_out_the_reaction_and_nothing_else():
    widget, values, others = w.Dropdown(options=[1, 2, 3]), [], []
    on_change(widget, lambda change: values.append(change["new"]))
    widget.observe(lambda change: others.append(change["new"]), "index")
    with silent(widget):
        widget.value = 3
    assert values == []
    assert others == [2], "what ipywidgets keeps in step is kept in step"


def test_only_the_named_widgets_are_silent(heard):
    widget, values = heard
    with silent(w.Text()):
        widget.value = "a"
    assert values == ["a"]


def test_a_value_that_is_refused_ends_the_silence():
    widget, values = w.Dropdown(options=[1, 2, 3]), []
    on_change(widget, lambda change: values.append(change["new"]))
    with pytest.raises(Exception, match="Invalid"):
        set_value(widget, 99)
    widget.value = 2
    assert values == [2]


def test_another_thread_is_still_heard(heard):
    widget, values = heard
    with silent(widget):
        other = threading.Thread(target=lambda: setattr(widget, "value", "a"))
        other.start()
        other.join()
    assert values == ["a"]
