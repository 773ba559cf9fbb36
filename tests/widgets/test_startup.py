"""The import of plotly without a grammar, and the progress bar."""

import sys
import types

import pytest

from gdws_explorer.widgets import startup
from gdws_explorer.widgets.startup import GRAMMAR, quick_plotly, waiting


@pytest.fixture
def unloaded(monkeypatch):
    """Neither the grammar nor jsonschema is imported, but the grammar is installed."""
    monkeypatch.delitem(sys.modules, GRAMMAR, raising=False)
    monkeypatch.delitem(sys.modules, "jsonschema", raising=False)
    monkeypatch.setattr(startup, "find_spec", lambda name: object())


def test_the_grammar_is_replaced_only_inside(unloaded):
    with quick_plotly():
        assert callable(sys.modules[GRAMMAR].is_valid_syntax)
    assert GRAMMAR not in sys.modules


def test_it_is_put_back_after_an_error(unloaded):
    with pytest.raises(RuntimeError, match="broken"), quick_plotly():
        raise RuntimeError("broken")
    assert GRAMMAR not in sys.modules


def test_the_function_calls_the_real_one_later(unloaded, monkeypatch):
    with quick_plotly():
        check = sys.modules[GRAMMAR].is_valid_syntax
    real = types.ModuleType(GRAMMAR)
    real.is_valid_syntax = lambda term, value: term == value
    monkeypatch.setitem(sys.modules, GRAMMAR, real)
    assert check("iri", "iri") is True
    assert check("iri", "uri") is False


def test_a_module_that_is_imported_already_stays(monkeypatch):
    real = types.ModuleType(GRAMMAR)
    monkeypatch.setitem(sys.modules, GRAMMAR, real)
    with quick_plotly():
        assert sys.modules[GRAMMAR] is real
    assert sys.modules[GRAMMAR] is real


def test_without_the_package_nothing_is_replaced(unloaded, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda name: None)
    with quick_plotly():
        assert GRAMMAR not in sys.modules


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook displays, and a clock that the test sets."""
    shown, now = [], [0.0]

    class Place:
        def __init__(self, first):
            self.values = [first]

        def update(self, value):
            self.values.append(value)

    def display(value, display_id):
        assert display_id
        shown.append(Place(value))
        return shown[-1]

    monkeypatch.setattr(startup, "get_ipython", lambda: object())
    monkeypatch.setattr(startup, "display", display)
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(startup, "time", clock)
    return shown, now


def test_outside_a_notebook_nothing_is_shown(notebook, monkeypatch):
    shown, now = notebook
    monkeypatch.setattr(startup, "get_ipython", lambda: None)
    with waiting("reading") as progress:
        now[0] = 10
        progress(0.5)
    assert shown == []


def test_a_short_wait_shows_no_bar(notebook):
    shown, now = notebook
    with waiting("reading") as progress:
        progress(0.5)
        now[0] = 10
        progress(1.0)
    assert shown == []


def test_a_long_wait_shows_one_bar_and_removes_it(notebook):
    shown, now = notebook
    with waiting("reading") as progress:
        now[0] = 10
        for fraction in (0.25, 0.5, 1.0):
            progress(fraction)
            bar, words = shown[0].values[0].children
            assert bar.value == fraction
            assert words.value == f"reading … {fraction:.0%}"
    (place,) = shown
    box, last = place.values
    assert last.data == ""
    assert bar.comm is None
    assert box.comm is None
