"""The real networks and images that benchmarks measure on, read from ../shared/data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def shortcut(self, x: Tensor) -> Tensor:
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet38(nn.Module):
    """The main exit of VITA-Group/triple-wins: images `(N, 3, 32, 32)` in [0, 1] to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width = 16
        for group, out in enumerate((16, 32, 64)):
            for layer in range(6):
                stride = 2 if group and not layer else 1
                setattr(self, f"group{group}_layer{layer}", Block(width, out, stride))
                width = out
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for group in range(3):
            for layer in range(6):
                x = getattr(self, f"group{group}_layer{layer}")(x)
        return self.fc(x.mean((2, 3)))


def resnet38() -> nn.Module:
    """The adversarially trained ResNet-38 (ε 8/255), in eval mode."""
    model = ResNet38()
    model.load_state_dict(load_file(SHARED / "triple-wins" / "resnet38.safetensors"))
    return model.eval()


class BlockA(Block):
    """The same with a shortcut that has no weights (He et al., CVPR 2016, option A)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__(width, out, stride)
        self.downsample = None
        self.stride, self.more = stride, (out - width) // 2

    def shortcut(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.more, self.more))


class ResNet20(nn.Module):
    """ResNet-20 of akamaster/pytorch_resnet_cifar10, for normalised images `(N, 3, 32, 32)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(BlockA(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(BlockA(16, 32, 2), BlockA(32, 32, 1), BlockA(32, 32, 1))
        self.layer3 = nn.Sequential(BlockA(32, 64, 2), BlockA(64, 64, 1), BlockA(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet20() -> nn.Module:
    """The network that is not robust, for images in [0, 1], in eval mode."""
    from gdws_explorer.robust.normalized import Normalized

    model = ResNet20()
    model.load_state_dict(load_file(SHARED / "resnet20" / "resnet20.safetensors"))
    return Normalized(model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval()


def cifar10(part: str, n: int) -> tuple[Tensor, Tensor]:
    """The first n images, float in [0, 1], and labels of "test" or "train_0"."""
    with np.load(SHARED / "cifar10" / f"{part}.npz") as file:
        x, y = file["x"][:n], file["y"][:n]
    return torch.from_numpy(x).float() / 255, torch.from_numpy(y).long()
