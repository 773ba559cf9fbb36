"""A wheel in an empty environment outside the checkout works like the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile

import pytest

pytestmark = pytest.mark.slow

USE = """
import json
import gdws_explorer as gx
bench = gx.load("digits")
x, y = bench.data
report = gx.evaluate(bench.model, (x[:20], y[:20]))
print(json.dumps({
    "file": gx.__file__, "n": len(y), "clean": report.clean, "records": len(bench.records),
}))
"""


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, root)
    (path,) = out.glob("gdws_explorer-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The interpreter of an environment that holds the wheel and can see our dependencies."""
    venv = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--no-deps", "--no-index", wheel)
    purelib = venv.joinpath(*sysconfig.get_path("purelib").split(os.sep)[-3:])
    # A path in a .pth file is only searched: the .pth files in that folder, and with them our
    # editable installation, are not read.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(*words, cwd=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_wheel_holds_data_and_notebooks_and_nothing_foreign(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in (
        "py.typed",
        "cli/__init__.py",
        "_data/README.md",
        "_notebooks/01_first_look.ipynb",
    ):
        assert f"gdws_explorer/{name}" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gdws_explorer"}
    assert not [name for name in names if name.endswith((".pyc", ".db", ".pkl", ".pt"))]
    assert wheel.stat().st_size < 10e6


def test_it_measures_with_its_own_data(installed, tmp_path):
    answer = json.loads(run(installed, "-c", USE, cwd=tmp_path))
    assert answer["file"].startswith(str(installed.parents[1]))
    assert answer["n"] == 360
    assert answer["clean"] >= 0.9
    assert answer["records"] >= 30


def test_its_command_runs(installed, tmp_path):
    command = installed.with_name("gdws-explorer")
    assert "lab" in run(command, "--help", cwd=tmp_path)
