"""What every test shares: no test needs a network, a GPU or more than the machine's cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before hypothesis, torch or Jupyter look at them.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
