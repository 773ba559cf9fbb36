"""Import plotly without waiting for what it does not use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

GRAMMAR = "rfc3987_syntax"


@contextmanager
def quick_plotly() -> Iterator[None]:
    """Inside, importing plotly takes a second or two less where JupyterLab is installed.

    plotly imports nbformat, that jsonschema, and that compiles a grammar of international web
    addresses when it is imported. Here it gets a function that does so when it is first called.
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
