"""`gdws-explorer lab`: which notebooks it opens and copies."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gdws_explorer import cli
from gdws_explorer.bench import resources
from gdws_explorer.cli import lab_command


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that would have been started."""
    commands: list[list[str]] = []

    class Server:
        def __init__(self, command: list[str]) -> None:
            commands.append(command)
            self.waits = iter([KeyboardInterrupt, 0])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self) -> int:
            found = next(self.waits)
            if found is KeyboardInterrupt:
                raise found
            return found

    monkeypatch.setattr(lab_command.subprocess, "Popen", Server)
    return commands


@pytest.fixture
def lessons(tmp_path, monkeypatch) -> Path:
    """A checkout with two notebooks."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    for name in (lab_command.LESSON, "02_more.ipynb"):
        (root / "notebooks" / name).write_text(name)
    monkeypatch.setattr(resources, "PACKAGE", root / "gdws_explorer")
    return root


def test_lab_copies_the_lessons_outside_the_checkout(tmp_path, monkeypatch, started, lessons):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / lab_command.LESSON).write_text("a student's answers")
    assert cli.main(["lab", "--no-browser", "--port", "8890"]) == 0
    assert (work / lab_command.LESSON).read_text() == "a student's answers"
    assert (work / "02_more.ipynb").read_text() == "02_more.ipynb"
    (command,) = started
    assert command[1:4] == ["-m", "jupyterlab", str(work / lab_command.LESSON)]
    assert command[-3:] == ["--no-browser", "--port", "8890"]
    assert f"--LabApp.default_url=/lab/tree/{lab_command.LESSON}" in command


def test_lab_opens_the_checkouts_own_lessons_inside_it(monkeypatch, started, lessons):
    monkeypatch.chdir(lessons / "notebooks")
    assert cli.main(["lab"]) == 0
    assert started[0][3] == str(lessons / "notebooks" / lab_command.LESSON)
    assert len(list((lessons / "notebooks").iterdir())) == 2


def test_lab_finds_the_notebooks_of_a_wheel(tmp_path, monkeypatch, started, lessons):
    package = tmp_path / "site" / "gdws_explorer"
    shutil.copytree(lessons / "notebooks", package / "_notebooks")
    monkeypatch.setattr(resources, "PACKAGE", package)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert cli.main(["lab"]) == 0
    assert (work / lab_command.LESSON).is_file()


def test_lab_says_what_is_missing(tmp_path, monkeypatch, lessons, one_sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "nowhere" / "gdws_explorer")
    assert "notebooks are missing" in one_sentence("lab")
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert 'pip install "gdws-explorer[lab]"' in one_sentence("lab")


@pytest.mark.slow
def test_lab_really_starts_jupyterlab(tmp_path, monkeypatch, lessons, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", "--version"]) == 0  # JupyterLab parses everything, then answers
    assert capfd.readouterr().out.strip()[0].isdigit()
