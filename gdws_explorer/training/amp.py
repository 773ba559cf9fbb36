"""Automatic mixed precision, on devices that have it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.utils.modules import preserve_modes, use_channels_last


def half_of(device: torch.device) -> torch.dtype | None:
    """Returns the 16-bit type in which `device` is faster than in float32; None if there is none.

    bfloat16 has the range of float32. float16 does not: its gradients need scaling.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return None


class MixedPrecision(nn.Module):
    """A model that computes in the type `half` where that is safe.

    Images and scores are float32. The channels are last in memory where the model works with that
    layout, which is fastest for 16-bit convolutions; the first forward pass finds out.
    """

    def __init__(self, model: nn.Module, half: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._half = half
        self._channels_last: bool | None = None

    def forward(self, x: Tensor) -> Any:
        """Returns the model's output, scores in float32."""
        if self._channels_last is None:
            with preserve_modes(self.model):
                self._channels_last = use_channels_last(self.model.eval(), x)
        last = torch.channels_last if self._channels_last else torch.contiguous_format
        with torch.autocast(x.device.type, self._half):
            scores = self.model(x.contiguous(memory_format=last))
        return scores.float() if isinstance(scores, Tensor) else scores


def _cpu_has_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions; without them it is slower than float32."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported is not None and supported())
