"""Versions and machine that a measurement was made with."""

from __future__ import annotations

import os
import platform
from importlib import metadata

MEASURED_WITH = ("gdws-explorer", "torch", "numpy", "torchattacks")


def library_versions() -> dict[str, str]:
    """The versions that a measurement depends on; a package that is not installed is left out."""
    found = {}
    for name in MEASURED_WITH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """System, processor type and cores of this machine, without its name."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
