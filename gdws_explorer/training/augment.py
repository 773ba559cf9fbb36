"""Random crops and flips for photographs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_PIXELS = 32  # a digit of 8 pixels cannot be moved, and mirrored it is another digit
PADDING = 4


def crop_and_flip(x: Tensor) -> Tensor:
    """Returns images `(B, C, H, W)` moved by up to 4 pixels, half of them mirrored.

    The border is filled with zeros. Images of fewer than 32 pixels stay as they are.
    """
    n, _, height, width = x.shape
    if min(height, width) < LEAST_PIXELS:
        return x
    padded = F.pad(x, (PADDING,) * 4)
    down, across = torch.randint(2 * PADDING + 1, (2, n))
    mirrored = torch.rand(n) < 0.5
    rows = (down[:, None] + torch.arange(height)).to(x.device)
    columns = across[:, None] + torch.arange(width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns).to(x.device)
    which = torch.arange(n, device=x.device)[:, None, None]
    # The look-up returns the channels last; they go back to the front without a copy.
    moved = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)
