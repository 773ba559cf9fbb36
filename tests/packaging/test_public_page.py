"""The public page: README's list, `__all__`, and the types that public functions return."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from source import modules_of, tree_of

import gdws_explorer as gx

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gdws_explorer"

# Imported at their first use, and not by a star import: they need a notebook's packages.
WITH_WIDGETS = {"Explorer", "widgets"}


def page(text):
    """The names of a README's section about the public names."""
    section = re.search(r"^## The public names\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\bgx\.([A-Za-z]\w*)", section[1]))


def test_the_page_names_what_is_public():
    named = page((ROOT / "README.md").read_text())
    assert sorted(named - set(gx.__all__) - WITH_WIDGETS) == []
    assert sorted(set(gx.__all__) | WITH_WIDGETS) == sorted(named)


def test_the_comparison_reads_the_section_alone():
    text = "gx.before\n## The public names\n`gx.load(gx.PGD(8/255))` net.plan\n## Next\ngx.after\n"
    assert page(text) == {"load", "PGD"}


def test_every_name_is_there_once():
    assert len(set(gx.__all__)) == len(gx.__all__)
    for name in {*gx.__all__, *WITH_WIDGETS}:
        assert getattr(gx, name) is not None
        assert name in dir(gx)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gx.nothing


@pytest.mark.parametrize(
    ("old", "new"), [("Found", "SearchResult"), ("Rule", "RankRule"), ("Staged", "AttackSequence")]
)
def test_names_of_version_0_1_are_aliases(old, new):
    assert getattr(gx, old) is getattr(gx, new)


def public(name):
    return not name.startswith("_")


def returned():
    """Public functions, methods and properties, with their names.

    Without Session's: it is an application, and its parts' types are in `gdws_explorer.session`.
    """
    for name in sorted(set(gx.__all__) - {"Session"}):
        item = getattr(gx, name)
        if inspect.isfunction(item):
            yield name, item
        elif inspect.isclass(item):
            for member, method in inspect.getmembers(item):
                function = method.fget if isinstance(method, property) else method
                if public(member) and inspect.isfunction(function):
                    yield f"{name}.{member}", function


def test_every_returned_type_can_be_imported():
    classes = {
        node.name
        for path in modules_of(PACKAGE).values()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and public(node.name)
    }
    importable = {*gx.__all__, *gx.nn.__all__, *WITH_WIDGETS}
    missing = {}
    for where, function in returned():
        annotation = function.__annotations__.get("return", "")
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        for name in set(re.findall(r"\w+", text)) & classes - importable:
            missing.setdefault(name, []).append(where)
    assert missing == {}
