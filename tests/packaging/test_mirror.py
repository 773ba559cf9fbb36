"""The tests mirror the package: `gdws_explorer/a/b.py` is tested in `tests/a/test_b.py`."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gdws_explorer"
TESTS = ROOT / "tests"

# Modules without a test file of their own: the file that tests them, and why it is that one.
ELSEWHERE = {
    "lessons.py": ("tests/notebooks/test_lessons.py", "with the notebook that uses it"),
}

# Test files of no single module, and folders of them: what they test.
OF_MANY = {
    "browser": "the whole explorer in JupyterLab and Voila",
    "fuzz": "the whole package, on generated networks",
    "notebooks": "the notebooks and their lessons",
    "packaging": "the package as a whole: layers, imports, wheel, versions",
    "test_docs.py": "the code blocks of README and docs",
    "factorize/test_from_conv.py": "`from_conv` of every factorised layer",
    "network/test_network_views.py": "what the views of one network share",
    "cli/test_studies.py": "the commands sweep, search and front together",
    "network/test_trained_networks.py": "networks with trained plans",
    "study/storage/test_new_database.py": "two programs that open one new file at once",
    "study/test_hypervolume.py": "the hypervolume in study/pareto.py",
    "test_floating_types.py": "networks in float16, bfloat16, float64 and autocast, in all rooms",
    "test_no_gradient.py": "networks without a gradient, in all rooms that need one",
    "test_layouts.py": "networks that read strides, and images of any layout, in every function",
    "test_wrapped_models.py": "models in wrappers and with unusual states, through every function",
    "test_explore.py": "gx.explore, from its arguments to the widget",
    "training/test_side_by_side.py": "two trainings at once are as each alone",
    "session/test_threads.py": "all public methods of the room's classes from eight threads",
    "widgets/test_closing.py": "what a closed explorer gives back",
}


def modules(package):
    """The files that need a test."""
    return [
        path.relative_to(package)
        for path in sorted(package.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]


def mirror(module):
    """Where a module's tests are, from the folder of the tests."""
    return module.parent / f"test_{module.name}"


def untested(package, tests):
    """Modules without a test file of their name."""
    return [str(path) for path in modules(package) if not (tests / mirror(path)).exists()]


def of_no_module(package, tests):
    """Test files that no module has given its name; a room's `__init__` may give it, too."""
    named = {mirror(path) for path in modules(package)}
    named |= {
        path.parent.relative_to(package) / f"test_{path.parent.name}.py"
        for path in package.rglob("__init__.py")
    }
    files = [path.relative_to(tests) for path in sorted(tests.rglob("test_*.py"))]
    return [path for path in files if path not in named]


def test_every_module_has_a_test_file():
    assert [path for path in untested(PACKAGE, TESTS) if path not in ELSEWHERE] == []


@pytest.mark.parametrize("module", ELSEWHERE)
def test_an_exception_is_needed_and_true(module):
    file, reason = ELSEWHERE[module]
    assert module in untested(PACKAGE, TESTS), "it has a test file, or is no module any more"
    assert (ROOT / file).exists()
    assert reason


def test_every_test_file_mirrors_a_module():
    listed = {Path(name) for name in OF_MANY}
    found = of_no_module(PACKAGE, TESTS)
    assert [str(path) for path in found if not listed & {path, *path.parents}] == []


@pytest.mark.parametrize("name", OF_MANY)
def test_a_file_of_many_modules_is_there(name):
    found = of_no_module(PACKAGE, TESTS)
    assert any(Path(name) in [path, *path.parents] for path in found), "take it from the list"


def test_the_comparison_can_fail(tmp_path):
    package, tests = tmp_path / "package", tmp_path / "tests"
    for path in ["__init__.py", "a/__init__.py", "a/one.py", "a/two.py", "a/__main__.py"]:
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).touch()
    for path in ["a/test_one.py", "a/test_a.py", "a/conftest.py", "test_two.py"]:
        (tests / path).parent.mkdir(parents=True, exist_ok=True)
        (tests / path).touch()
    assert untested(package, tests) == ["a/two.py"]
    assert of_no_module(package, tests) == [Path("test_two.py")]
