"""`gdws-explorer lab`: opens the lessons in JupyterLab."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gdws_explorer.cli.parser import add_command
from gdws_explorer.errors import ExplorerError

LESSON = "01_first_look.ipynb"


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    lab = add_command(
        subparsers,
        "lab",
        "open the lessons in JupyterLab",
        "  gdws-explorer lab\n  gdws-explorer lab --no-browser --port 8890",
    )
    lab.usage = "gdws-explorer lab [-h] [arguments of `jupyter lab` ...]"
    lab.description += (
        " Outside the checkout the notebooks are first copied\ninto the current folder; those "
        "that are there already are not changed."
    )


def run(options: argparse.Namespace) -> int:
    """Starts JupyterLab on the first lesson and waits for its end."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise ExplorerError('JupyterLab is not installed: pip install "gdws-explorer[lab]".')
    lesson = _first_lesson()
    offline = [  # no request leaves the machine
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    # Without a browser on this machine, the address that JupyterLab prints opens the lesson too.
    start = f"--LabApp.default_url=/lab/tree/{quote(lesson.name)}"
    command = [sys.executable, "-m", "jupyterlab", str(lesson), *offline, start, *options.unknown]
    with subprocess.Popen(command) as server:
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # JupyterLab gets it too, and asks what to do
                continue


def _first_lesson() -> Path:
    """The path of the first lesson: the checkout's own inside it, elsewhere a copy to work in."""
    from gdws_explorer.bench import resources

    here, checkout = Path.cwd(), resources.checkout()
    if checkout is not None and here.resolve().is_relative_to(checkout):
        return checkout / "notebooks" / LESSON
    bundled = resources.PACKAGE / "_notebooks" if checkout is None else checkout / "notebooks"
    lessons = sorted(bundled.glob("*.ipynb"))
    if not lessons:
        raise ExplorerError("the bundled notebooks are missing; install gdws-explorer again.")
    for lesson in lessons:
        if not (here / lesson.name).exists():  # never overwrite a student's answers
            _copy(lesson, here)
    return here / LESSON


def _copy(file: Path, folder: Path) -> None:
    try:
        shutil.copy(file, folder)
    except OSError as error:
        raise ExplorerError(
            f"{folder} cannot be written ({error.strerror}); start in another folder."
        ) from error
