"""The folder for files that can be made again: tables, data sets, trainings."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_folder() -> Path:
    """Returns the user's cache folder for this package."""
    return Path(platformdirs.user_cache_dir("gdws-explorer"))
