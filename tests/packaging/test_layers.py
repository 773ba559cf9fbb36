"""The rooms of the package, lowest first: no circle of imports, no import from a higher room."""

import ast
import importlib
from collections import Counter
from pathlib import Path

import pytest
from source import circles_of, imports_of, modules_of, tree_of

PACKAGE = Path(__file__).resolve().parents[2] / "gdws_explorer"

# A module may import from its own floor and from those above it in this list.
FLOORS = [
    ["errors"],
    ["typing"],
    ["utils"],
    ["factorize"],
    ["nn"],
    ["network.plans"],
    [
        "network.mac_counter",
        "network.weight_reads",
        "network.replacement_check",
        "network.tracing",
        "network.surgery",
        "network.latency",
    ],
    ["network.calibration"],
    ["network.budget"],
    ["network.network"],
    ["network.dense_view"],
    ["network"],
    ["robust"],
    ["training"],
    ["study"],
    ["bundle"],
    ["figures"],
    ["bench"],
    ["session"],
    ["widgets"],
    ["lessons"],
    ["api"],
    [""],
    ["cli"],
]
PARTED = "network"  # the room whose modules have floors of their own


@pytest.fixture(scope="module")
def imports():
    return imports_of(PACKAGE)


def floor_of(module):
    """The index of a module's floor."""
    for floor, names in enumerate(FLOORS):
        for name in names:
            if module == name or (name not in ("", PARTED) and module.startswith(f"{name}.")):
                return floor
    raise LookupError(f"no floor is given for {module!r}: add it to FLOORS")


def upward(imports):
    return [each for each in imports if floor_of(each.target) > floor_of(each.source)]


def test_every_module_has_a_floor():
    for module in modules_of(PACKAGE):
        floor_of(module)


def test_every_floor_has_a_module():
    modules = modules_of(PACKAGE)
    empty = [name for names in FLOORS for name in names if name not in modules]
    assert empty == []


def test_no_circle(imports):
    assert circles_of(imports) == []


def test_no_way_up(imports):
    found = upward(imports)
    assert found == [], "\n".join(map(str, found))


# -- the walker can fail ---------------------------------------------------------------------


def package(folder, **files):
    """A package `gdws_explorer` of these files; a name's double underscore is a folder."""
    root = folder / "gdws_explorer"
    for name, text in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for above in [path.parent, *path.parent.parents]:
            if root in [above, *above.parents]:
                (above / "__init__.py").touch()
        path.write_text(text)
    return root


LOWER = "from gdws_explorer.utils.files import write\n"
WAYS = {
    "module": "from gdws_explorer.{} import name\n",
    "module_itself": "from gdws_explorer.{0[0]} import {0[1]}\n",
    "plain": "import gdws_explorer.{}\n",
    "function": "def late():\n    from gdws_explorer.{} import name\n",
    "method": "class A:\n    def late(self):\n        import gdws_explorer.{} as other\n",
    "type": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    from gdws_explorer.{} import name\n",
    "relative": "from ..{0[0]}.{0[1]} import name\n",
    "by_name": "from importlib import import_module\n"
    "def late():\n    return import_module('gdws_explorer.{}')\n",
}


def written(way, target):
    text = WAYS[way]
    return text.format(target.split(".") if "0[" in text else target)


@pytest.mark.parametrize("way", WAYS)
def test_a_circle_is_found(tmp_path, way):
    root = package(
        tmp_path,
        robust__pgd=written(way, "robust.report"),
        robust__report="from gdws_explorer.robust import interval\n",
        robust__interval="from gdws_explorer.robust.pgd import name\n",
        robust__outside="from gdws_explorer.robust.pgd import name\n",
    )
    assert circles_of(imports_of(root)) == [["robust.interval", "robust.pgd", "robust.report"]]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_up_is_found(tmp_path, way):
    root = package(
        tmp_path,
        network__network=LOWER + written(way, "robust.pgd"),
        robust__pgd="from gdws_explorer.utils import files\n",
        utils__files="import os\n",
    )
    assert [(each.source, each.target) for each in upward(imports_of(root))] == [
        ("network.network", "robust.pgd")
    ]


def test_the_place_of_an_import_is_told_apart(tmp_path):
    text = "".join(written(way, "robust.pgd") for way in ("module", "function", "type"))
    root = package(tmp_path, study__records=text, robust__pgd="")
    assert [each.place for each in imports_of(root)] == ["module", "function", "TYPE_CHECKING"]


def test_a_way_up_inside_the_network_is_found(tmp_path):
    root = package(
        tmp_path,
        network__plans__layer="from gdws_explorer.network.plans import families\n",
        network__plans__families="from gdws_explorer.network.tracing import trace\n",
        network__tracing="from gdws_explorer.network.plans.layer import Layer\n",
    )
    assert [str(each) for each in upward(imports_of(root))] == [
        "network.plans.families:1 imports network.tracing (module)"
    ]


def test_a_module_that_imports_through_its_own_room_is_a_circle(tmp_path):
    root = package(tmp_path, robust__pgd="from gdws_explorer.robust import evaluate\n")
    (root / "robust" / "__init__.py").write_text("from gdws_explorer.robust.pgd import evaluate\n")
    assert circles_of(imports_of(root)) == [["robust", "robust.pgd"]]


def test_a_package_in_order_has_nothing_to_find(tmp_path):
    root = package(tmp_path, network__network=LOWER, utils__files="", robust__pgd=LOWER)
    (root / "robust" / "__init__.py").write_text("from gdws_explorer.robust.pgd import write\n")
    found = imports_of(root)
    assert len(found) == 3
    assert circles_of(found) == []
    assert upward(found) == []


def test_a_module_without_a_floor_is_refused():
    with pytest.raises(LookupError, match=r"no floor is given for 'network\.new'"):
        floor_of("network.new")


# -- names -----------------------------------------------------------------------------------


def test_no_file_name_twice():
    files = Counter(path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in files.items() if count > 1] == []


def test_nothing_hides_a_module():
    """`import gdws_explorer.a.b` gives the module for every file and every folder."""
    hidden = []
    for name in modules_of(PACKAGE):
        if name and not name.endswith("__main__"):
            module = importlib.import_module(f"gdws_explorer.{name}")
            above, _, last = f"gdws_explorer.{name}".rpartition(".")
            if getattr(importlib.import_module(above), last) is not module:
                hidden.append(name)
    assert hidden == []


ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_in_two_lines_what_it_is(room):
    for path in [PACKAGE / room / "__init__.py", *(PACKAGE / room).glob("*/__init__.py")]:
        text = ast.get_docstring(tree_of(path))
        assert text, path
        assert len([line for line in text.splitlines() if line.strip()]) <= 2, path


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_three_to_ten_public_names(room):
    if room == "cli":  # its one name is the entry point `main`
        return
    module = importlib.import_module(f"gdws_explorer.{room}")
    names = module.__all__
    assert 3 <= len(names) <= 10, names
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []
    files = {name.rpartition(".")[2] for name in modules_of(PACKAGE) if name.startswith(room + ".")}
    assert not files & set(names), "a public name of a room is no name of a module in it"
