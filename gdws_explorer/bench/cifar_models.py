"""The papers' networks for 32×32 images, with the parameter names of published checkpoints.

The names in ResNet, PreActResNet and VGG are those of kuangliu/pytorch-cifar, in Wide ResNets
those of yaodongyu/TRADES and RobustBench. All take images `(N, 3, H, W)` and return scores
`(N, classes)`. Their weights are random. Other image sizes work as well, because the last layer
takes the mean over all positions.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.checks import checked_whole


def _conv3(width: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, out, 3, stride, padding=1, bias=False)


def _conv1(width: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, out, 1, stride, bias=False)


def _shortcut(width: int, out: int, stride: int) -> nn.Sequential:
    """The identity where the shapes agree, otherwise a 1×1 convolution and BatchNorm."""
    if stride == 1 and width == out:
        return nn.Sequential()
    return nn.Sequential(_conv1(width, out, stride), nn.BatchNorm2d(out))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016)."""

    expansion = 1

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3(width, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = _conv3(planes, planes), nn.BatchNorm2d(planes)
        self.shortcut = _shortcut(width, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 to four times the width, and a shortcut (He et al., CVPR 2016)."""

    expansion = 4

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        out = 4 * planes
        self.conv1, self.bn1 = _conv1(width, planes), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = _conv3(planes, planes, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = _conv1(planes, out), nn.BatchNorm2d(out)
        self.shortcut = _shortcut(width, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.shortcut(x))


class PreActBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3×3 convolutions (He et al., ECCV 2016).

    early : the shortcut's convolution takes the block's input instead of its activation.
    """

    expansion = 1

    def __init__(self, width: int, planes: int, stride: int, early: bool = False) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), _conv3(width, planes, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(planes), _conv3(planes, planes)
        same = stride == 1 and width == planes
        self.shortcut = None if same else nn.Sequential(_conv1(width, planes, stride))
        self.early = early

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        inner = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(x if self.early else inner)
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(inner))))
        return residual + shortcut


class ResNet(nn.Module):
    """Four groups of blocks, 64 to 512 planes (1 to 8 times `width`), at strides 1, 2, 2, 2.

    block : width, planes, stride → a block of planes × expansion channels. depths : blocks per
    group. first : BatchNorm and ReLU after the first convolution, `bn1`. last : the same before
    the mean, `bn`.
    """

    def __init__(
        self,
        block: Callable[[int, int, int], nn.Module],
        depths: tuple[int, int, int, int],
        classes: int,
        expansion: int = 1,
        first: bool = True,
        last: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__()
        expected = "a whole number of channels above 0"
        width = checked_whole("width", width, error=ModelError, expected=expected)
        self.conv1 = _conv3(3, width)
        self.bn1 = nn.BatchNorm2d(width) if first else None
        base = width
        groups = []
        for group, depth in enumerate(depths):
            planes, blocks = base * 2**group, []
            for i in range(depth):
                blocks.append(block(width, planes, 2 if group and not i else 1))
                width = planes * expansion
            groups.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = groups
        self.bn = nn.BatchNorm2d(width) if last else None
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the class scores of a batch of images."""
        x = self.conv1(x)
        if self.bn1 is not None:
            x = F.relu(self.bn1(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if self.bn is not None:
            x = F.relu(self.bn(x))
        scores: Tensor = self.linear(x.mean((2, 3)))
        return scores


class VGG(nn.Module):
    """VGG-16 with BatchNorm: `features`, then `classifier`.

    hydra : as in inspire-group/hydra and the code of GDWS: convolutions without bias, the mean
    over quarters instead of the last pooling, three linear layers.
    """

    def __init__(self, classes: int, hydra: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        groups = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
        for i, (out, depth) in enumerate(groups):
            for _ in range(depth):
                layers += [nn.Conv2d(width, out, 3, padding=1, bias=not hydra)]
                layers += [nn.BatchNorm2d(out), nn.ReLU()]
                width = out
            if i < 4:
                layers += [nn.MaxPool2d(2)]
        # The last pooling has no parameters: it may be outside of `features`.
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(2) if hydra else nn.MaxPool2d(2)
        self.classifier: nn.Module = nn.Linear(width, classes)
        if hydra:
            self.classifier = nn.Sequential(
                nn.Linear(4 * width, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                nn.Linear(256, classes),
            )  # fmt: skip
        self.hydra = hydra

    def forward(self, x: Tensor) -> Tensor:
        """Returns the class scores of a batch of images."""
        x = self.pool(self.features(x))
        scores: Tensor = self.classifier(x.flatten(1) if self.hydra else x.mean((2, 3)))
        return scores


class WideBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3×3 convolutions; the shortcut shares the first."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), _conv3(width, out, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(out), _conv3(out, out)
        self.convShortcut = None if width == out else _conv1(width, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        inner = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(inner)
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(inner))))
        return residual + shortcut


class WideGroup(nn.Module):
    """A sequence of blocks under the name `layer`."""

    def __init__(self, blocks: list[WideBlock]) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the last block's output."""
        features: Tensor = self.layer(x)
        return features


class WideResNet(nn.Module):
    """WRN-depth-factor (Zagoruyko & Komodakis, BMVC 2016) with the names of TRADES."""

    # TRADES's network has a second copy of the first group, which its forward pass never calls.
    # Files saved from it contain its weights (yaodongyu/TRADES, issue 16).
    unused_prefixes = ("sub_block1.",)

    def __init__(self, depth: int, factor: int, classes: int) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ModelError(
                f"a WRN cannot have depth {depth}; expected 6 n + 4, such as 28 or 34."
            )
        self.conv1 = _conv3(3, 16)
        width = 16
        groups = []
        for group in range(3):
            out, blocks = 16 * 2**group * factor, []
            for i in range((depth - 4) // 6):
                blocks.append(WideBlock(width, out, 2 if group and not i else 1))
                width = out
            groups.append(WideGroup(blocks))
        self.block1, self.block2, self.block3 = groups
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the class scores of a batch of images."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        scores: Tensor = self.fc(F.relu(self.bn1(x)).mean((2, 3)))
        return scores


def resnet18(classes: int = 10, *, width: int = 64) -> nn.Module:
    """Returns a ResNet-18, 11.17 M parameters; width : channels of the first group."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, width=width)


def resnet50(classes: int = 10) -> nn.Module:
    """Returns a ResNet-50, 23.52 M parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, expansion=4)


def preactresnet18(
    classes: int = 10, *, last: bool = False, early: bool = False, width: int = 64
) -> nn.Module:
    """Returns a PreActResNet-18, 11.17 M parameters.

    last : BatchNorm `bn` and ReLU before the mean, as in locuslab/robust_overfitting, on which the
    code of GDWS builds. early : shortcuts from the block's input, as RobustBench has it for Wong et
    al. 2020 and Andriushchenko & Flammarion 2020. The weights of one variant load into the other,
    but the scores are then wrong. width : channels of the first group; 16 gives 0.70 M parameters.
    """

    def block(before: int, planes: int, stride: int) -> PreActBlock:
        return PreActBlock(before, planes, stride, early)

    return ResNet(block, (2, 2, 2, 2), classes, first=False, last=last, width=width)


def vgg16(classes: int = 10, *, hydra: bool = False) -> nn.Module:
    """Returns a VGG-16 with BatchNorm, 14.73 M parameters; hydra : HYDRA's variant, 15.31 M."""
    return VGG(classes, hydra)


def wide_resnet(depth: int = 28, factor: int = 10, classes: int = 10) -> nn.Module:
    """Returns a WRN-depth-factor: WRN-28-4 has 5.85 M parameters, WRN-28-10 has 36.48 M."""
    return WideResNet(depth, factor, classes)
