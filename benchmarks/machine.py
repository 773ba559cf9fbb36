"""The machine and the spread, which every benchmark prints with its numbers."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch


def machine() -> str:
    """Processor, cores, load, versions and threads, in one line."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    load = f"load {os.getloadavg()[0]:.1f}, " if hasattr(os, "getloadavg") else ""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {load}{platform.system()}, {versions}, "
        f"numpy {np.__version__}, torch threads {torch.get_num_threads()}"
    )


def spread(seconds: Sequence[float]) -> str:
    """Median, least and most, in a readable unit."""
    unit, factor = next(
        (u, f) for u, f in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)) if np.median(seconds) * f >= 1
        or u == "µs"
    )  # fmt: skip
    median, least, most = (factor * f(seconds) for f in (np.median, np.min, np.max))
    return f"{median:.3g} {unit} ({least:.3g} to {most:.3g}, n = {len(seconds)})"


def _processor() -> str:
    """The processor's name on Linux, otherwise its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
