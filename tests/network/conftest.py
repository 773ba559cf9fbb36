import itertools
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gdws_explorer.network.network import Network

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))  # its generator of networks


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    """Tiny matrices want one thread; every test starts from the same random state."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(before)


class Block(nn.Module):
    """A residual block as torchvision's ResNet has it, with a 1×1 downsample."""

    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        same = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + same)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 12, stride=2))
        self.fc = nn.Linear(12, 5)
        with torch.no_grad():  # so that BatchNorm is not the identity
            for m in self.modules():
                if isinstance(m, nn.BatchNorm2d):
                    m.running_mean.normal_()
                    m.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def resnet():
    return ResNet()


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8)


@pytest.fixture
def net(resnet, images):
    return Network(resnet, images)


@pytest.fixture
def plain():
    """Make a plain chain of 3×3 convolutions with these channels."""

    def make(*channels, bias=True, **options):
        layers = []
        for a, b in itertools.pairwise(channels):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=bias, **options), nn.ReLU()]
        return nn.Sequential(*layers)

    return make


@pytest.fixture
def flops():
    """MACs of one forward pass, counted by torch itself."""

    def count(model, example):
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model(example[:1])
        return counter.get_total_flops() // 2

    return count
