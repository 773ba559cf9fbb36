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

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + shortcut)


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


class BlockA(nn.Module):
    """Two 3×3 convolutions; a shortcut without weights (He et al., CVPR 2016, option A)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, (out - width) // 2

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.relu(inner + F.pad(kept, (0, 0, 0, 0, self.more, self.more)))


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
    """A network that is not robust, for images in [0, 1], in eval mode."""
    from gdws_explorer.robust.normalized import Normalized

    model = ResNet20()
    model.load_state_dict(load_file(SHARED / "resnet20" / "resnet20.safetensors"))
    return Normalized(model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval()


def cifar10(part: str, n: int) -> tuple[Tensor, Tensor]:
    """The first n images, float in [0, 1], and labels of "test" or "train_0"."""
    with np.load(SHARED / "cifar10" / f"{part}.npz") as file:
        x, y = file["x"][:n], file["y"][:n]
    return torch.from_numpy(x).float() / 255, torch.from_numpy(y).long()


class WideBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3×3 convolutions (Zagoruyko & Komodakis, 2016)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        same = stride == 1 and width == out
        self.shortcut = None if same else nn.Conv2d(width, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(inner)
        return self.conv2(F.relu(self.bn2(self.conv1(inner)))) + shortcut


def wide_resnet(depth: int, factor: int) -> nn.Module:
    """WRN-depth-factor for 32×32 images, random weights."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    width = 16
    for group, out in enumerate((16 * factor, 32 * factor, 64 * factor)):
        for layer in range((depth - 4) // 6):
            blocks.append(WideBlock(width, out, 2 if group and not layer else 1))
            width = out
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*blocks, *head, nn.Linear(width, 10))


def vgg16() -> nn.Module:
    """VGG-16 with BatchNorm for 32×32 images, random weights."""
    layers: list[nn.Module] = []
    width = 3
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if not out:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        width = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 10))


class Bottleneck(nn.Module):
    """1×1, 3×3 with the stride, 1×1 to four times the width, and a shortcut."""

    def __init__(self, width: int, inner: int, stride: int) -> None:
        super().__init__()
        out = 4 * inner
        self.body = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """ResNet-50 for 224×224 images as torchvision shapes it, random weights."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    ]  # fmt: skip
    width = 64
    for inner, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(width, inner, 1 if block else stride))
            width = 4 * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))
