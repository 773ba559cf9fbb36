"""Mixed precision where the device has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def half_of(device: torch.device) -> torch.dtype | None:
    """The 16-bit type that `device` computes faster in than in float32, None where there is none.

    bfloat16 has float32's range. float16 has not: its gradients need scaling.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return None


class MixedPrecision(nn.Module):
    """`model` computing in `half` where that is safe; float32 images in, float32 scores out.

    The channels come last in memory, which 16-bit convolutions are quickest with.
    """

    def __init__(self, model: nn.Module, half: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._half = half

    def forward(self, x: Tensor) -> Any:
        """What the model answers."""
        with torch.autocast(x.device.type, self._half):
            scores = self.model(x.contiguous(memory_format=torch.channels_last))
        return scores.float() if isinstance(scores, Tensor) else scores


def _cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them it is slower than float32."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked is not None and asked())
