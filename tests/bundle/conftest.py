"""A small architecture in a module of its own, as a user's would be, and plans for it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import gdws_explorer as gx

ROOT = Path(__file__).resolve().parents[2]
MODULE = "export_test_nets"
CODE = '''
import torch
from torch import nn


class Shop(nn.Module):
    """Strides, dilation, a circular border, a bias, a layer under two names, BatchNorm."""

    def __init__(self, stride=2):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.stride = nn.Conv2d(8, 12, 3, stride=stride, padding=1)
        self.dilated = nn.Conv2d(12, 12, 3, padding=2, dilation=2)
        self.circular = nn.Conv2d(12, 12, (3, 5), padding=(1, 2), padding_mode="circular")
        self.twice = self.circular
        self.last = nn.Conv2d(12, 10, 3, padding="same", bias=False)
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.dilated(torch.relu(self.stride(x))))
        x = torch.relu(self.circular(x)) + self.twice(x)
        return self.fc(torch.relu(self.last(x)).mean((2, 3)))


def shop():
    torch.manual_seed(7)
    net = Shop().eval()
    net.norm.running_mean.uniform_(-0.1, 0.1)
    net.norm.running_var.uniform_(0.5, 2)
    return net


def number():
    return 3
'''


@dataclass(frozen=True)
class Case:
    folder: Path  # holds the architecture's module
    dense: nn.Module
    net: gx.Network
    plan: gx.Plan
    small: nn.Module

    @property
    def images(self) -> torch.Tensor:
        return torch.rand(5, 2, 11, 9, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("nets")
    (folder / f"{MODULE}.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    with torch.random.fork_rng([]):
        dense = importlib.import_module(MODULE).shop()
    net = gx.Network(dense, torch.rand(1, 2, 11, 9))
    plan = net.plan(
        {
            "stride": gx.GDWS(30),
            "dilated": gx.Tucker2(5, 7),
            "circular": gx.GDWS(13, (1,) * 11 + (2,)),
            "last": gx.Tucker2(4, 3),
        }
    )
    yield Case(folder, dense, net, plan, net.build(plan))
    sys.path.remove(str(folder))
    sys.modules.pop(MODULE, None)


@pytest.fixture
def python(case: Case) -> Callable[..., str]:
    """Run code in a fresh interpreter that finds the package and the architecture's module."""

    def run(code: str, cwd: Path) -> str:
        path = [str(Path(gx.__file__).parents[1]), str(case.folder)]
        code = f"import sys; sys.path[:0] = {path!r}\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
