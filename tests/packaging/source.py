"""The package's source as data: its modules, their imports and their docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One module's import of another one of the same package.

    source, target : dotted names without the package's own; the package itself is "".
    line : where it is written.
    place : "module", "function" or "TYPE_CHECKING".
    """

    source: str
    target: str
    line: int
    place: str

    def __str__(self) -> str:
        return f"{self.source or '__init__'}:{self.line} imports {self.target} ({self.place})"


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file, read once."""
    return ast.parse(path.read_text())


def modules_of(package: Path) -> dict[str, Path]:
    """The files of a package by dotted name, without the package's own name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(package: Path) -> list[Import]:
    """Every import between a package's modules: at the top, in functions, for type checking."""
    modules = modules_of(package)
    found = {
        Import(source, target, line, place)
        for source, path in modules.items()
        for name, line, place in _imported(source, path, package)
        if (target := _module_of(name, modules, package.name)) is not None and target != source
    }
    return sorted(found, key=lambda each: (each.source, each.line, each.target))


def _module_of(name: str, modules: dict[str, Path], package: str) -> str | None:
    """The module that a dotted name is, or is in; None outside the package."""
    if name != package and not name.startswith(f"{package}."):
        return None
    inner = name[len(package) + 1 :]
    while inner not in modules:
        inner = inner.rpartition(".")[0]
    return inner


def _imported(source: str, path: Path, package: Path) -> Iterator[tuple[str, int, str]]:
    """Absolute dotted names that a module imports, with line and place."""
    parts = [package.name, *filter(None, source.split("."))]
    room = parts if path.name == "__init__.py" else parts[:-1]

    waiting: list[tuple[ast.AST, str]] = [(tree_of(path), "module")]
    while waiting:
        node, place = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, place
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = room[: len(room) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno, place
        elif isinstance(node, ast.Call) and _is_import_module(node):
            yield node.args[0].value, node.lineno, place
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            place = "function"
        elif isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            place = "TYPE_CHECKING"
        waiting += [(child, place) for child in ast.iter_child_nodes(node)]


def _name(node: ast.expr) -> str | None:
    """The last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _is_import_module(node: ast.Call) -> bool:
    """Whether a call is `import_module("a.b")` with a name that is written out."""
    return (
        _name(node.func) in ("import_module", "__import__")
        and len(node.args) > 0
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )


def circles_of(imports: list[Import]) -> list[list[str]]:
    """Groups of modules that import one another, directly or through others (Tarjan 1972)."""
    targets: dict[str, list[str]] = {}
    for each in imports:
        targets.setdefault(each.source, []).append(each.target)
        targets.setdefault(each.target, [])
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for target in targets[module]:
            if target not in number:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], number[target])
        if lowest[module] == number[module]:
            start = stack.index(module)
            if len(stack) - start > 1:
                found.append(sorted(stack[start:]))
            del stack[start:]

    for module in targets:
        if module not in number:
            visit(module)
    return sorted(found)


def docstrings_of(path: Path) -> Iterator[tuple[str, int, str]]:
    """Every docstring of a file: whose it is, its line, its text."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "name", "module"), node.body[0].lineno, text
