"""Library versions and the machine of a measurement."""

from __future__ import annotations

import os
import platform
from importlib import metadata

MEASURED_WITH = ("gdws-explorer", "torch", "numpy", "torchattacks")


def library_versions() -> dict[str, str]:
    """Returns the versions that a measurement depends on; a missing package is left out."""
    versions = {}
    for name in MEASURED_WITH:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> str:
    """Returns system, processor type and number of cores of this machine, without its name."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
