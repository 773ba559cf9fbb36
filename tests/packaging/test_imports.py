"""Everything from factorize to session works without a notebook, widgets or plotly."""

import subprocess
import sys

import pytest

ROOMS = ["utils", "factorize", "network", "robust", "training", "study", "bundle", "session"]
BLOCKED = ["ipywidgets", "anywidget", "plotly", "IPython", "ipykernel", "jupyter*", "notebook"]

BLOCKER = f"""
import sys
from fnmatch import fnmatch

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if any(fnmatch(name.partition(".")[0], pattern) for pattern in {BLOCKED}):
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""

EVERYTHING = """
import importlib, pkgutil
import gdws_explorer
for room in {rooms}:
    package = importlib.import_module(f"gdws_explorer.{{room}}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.slow
def test_the_rooms_need_no_notebook():
    answer = fresh(BLOCKER + EVERYTHING.format(rooms=ROOMS))
    assert answer.returncode == 0, answer.stderr
    assert {name.split(".")[1] for name in answer.stdout.split()} == set(ROOMS)


@pytest.mark.slow
def test_the_blocker_would_have_refused_them():
    answer = fresh(BLOCKER + EVERYTHING.format(rooms=["widgets"]))
    assert answer.returncode != 0
    assert "is blocked" in answer.stderr


def test_the_package_itself_is_light():
    heavy = ["optuna", "scipy", "torchattacks", "plotly", "ipywidgets", "onnx", "torchvision"]
    heavy += ["distributed", "sqlalchemy"]
    answer = fresh(f"import gdws_explorer, sys; print([m for m in {heavy} if m in sys.modules])")
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.mark.slow
def test_a_star_import_needs_no_notebook():
    answer = fresh(BLOCKER + "from gdws_explorer import *\nprint(Session.__name__, nn.__name__)")
    assert answer.stdout.split() == ["Session", "gdws_explorer.nn"], answer.stderr
    answer = fresh(BLOCKER + "import gdws_explorer\nprint(gdws_explorer.Explorer)")
    assert "is blocked" in answer.stderr
