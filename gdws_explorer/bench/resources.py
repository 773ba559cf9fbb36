"""The places of the bundled data and notebooks."""

from __future__ import annotations

from pathlib import Path

from gdws_explorer.errors import DataError

PACKAGE = Path(__file__).resolve().parents[1]


def data_file(name: str) -> Path:
    """Returns the path of the bundled file `name`.

    Raises DataError where it is missing, which means that the installation is damaged.
    """
    found = find_data_file(name)
    if found is None:
        raise DataError(f"the bundled file {name} is missing; install gdws-explorer again.")
    return found


def find_data_file(name: str) -> Path | None:
    """Returns the path of the bundled file `name`, or None where there is none.

    It is inside the package when installed, and in the checkout's data/ otherwise.
    """
    for folder in (PACKAGE / "_data", PACKAGE.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    return None


def checkout() -> Path | None:
    """Returns the root of the checkout that this package runs from; None when installed."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None
