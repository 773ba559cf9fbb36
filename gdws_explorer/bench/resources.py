"""Where the bundled data lies."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def data_file(name: str) -> Path:
    """The bundled file `name`: inside the package when installed, in the checkout's data/ if not.

    Raises FileNotFoundError where neither holds it: the installation is damaged.
    """
    for folder in (PACKAGE / "_data", PACKAGE.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"the bundled file {name} is missing; install gdws-explorer again.")
