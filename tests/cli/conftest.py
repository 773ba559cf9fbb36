"""A user's folder with a network's file and images, for the tests of the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import gdws_explorer as gx
from gdws_explorer import cli

NETS = """
import torch
from torch import nn
from helping import width


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, 12, 3, stride=2, padding=1)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


def made():
    torch.manual_seed(5)
    return Net()


def number():
    return 3


def failing():
    raise RuntimeError("no such checkpoint")
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A user's folder, with a network's file and images in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_test_nets.py").write_text(NETS)
    (tmp_path / "helping.py").write_text("width = 8\n")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 3, 10, 10), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(20, dtype=np.uint8) % 4)
    yield tmp_path
    for name in ("cli_test_nets", "helping"):
        sys.modules.pop(name, None)


@pytest.fixture
def plan(here) -> gx.Plan:
    sys.path.insert(0, str(here))
    try:
        import cli_test_nets
    finally:
        sys.path.remove(str(here))
    net = gx.Network(cli_test_nets.made(), torch.rand(1, 3, 10, 10))
    plan = net.plan({"second": gx.GDWS(20)})
    plan.save(here / "plan.json")
    return plan


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in its own process, as from a shell."""
    environment = {**os.environ, "PYTHONPATH": str(Path(gx.__file__).parents[1])}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gdws_explorer.cli", *words],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )

    return run


@pytest.fixture
def one_sentence(capsys) -> Callable[..., str]:
    """Runs a command that fails with exit code 2; returns its one sentence on stderr."""

    def fails(*words: str) -> str:
        assert cli.main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        message = err.splitlines()[-1]
        assert message.startswith("gdws-explorer: ")
        assert "Traceback" not in err
        return message

    return fails
