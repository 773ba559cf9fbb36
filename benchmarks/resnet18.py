"""A ResNet-18 as for CIFAR (11 M weights, random): its size is what benchmarks need of it."""

from __future__ import annotations

import torch
from networks import Block
from torch import nn


def resnet18() -> nn.Module:
    """Images `(N, 3, 32, 32)` to 10 scores, in eval mode."""
    torch.manual_seed(0)
    blocks, width = [], 64
    for group, out in enumerate((64, 128, 256, 512)):
        for number in range(2):
            blocks.append(Block(width, out, 2 if group and not number else 1))
            width = out
    first = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*first, *blocks, *last).eval()
