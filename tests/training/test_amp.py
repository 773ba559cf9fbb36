"""Mixed precision: which type, and float32 outside of the model."""

import pytest
import torch
from torch import nn

from gdws_explorer.training import amp


def test_the_type_of_a_device(monkeypatch):
    monkeypatch.setattr(amp, "_cpu_has_bfloat16", lambda: True)
    assert amp.half_of(torch.device("cpu")) is torch.bfloat16
    monkeypatch.setattr(amp, "_cpu_has_bfloat16", lambda: False)
    assert amp.half_of(torch.device("cpu")) is None
    assert amp.half_of(torch.device("meta")) is None
    for has, half in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated, has=has: has)
        assert amp.half_of(torch.device("cuda")) is half


def test_images_and_scores_are_float32_and_the_convolution_is_not():
    types = []

    class Watching(nn.Conv2d):
        def forward(self, x):
            types.append(super().forward(x).dtype)
            return super().forward(x)

    conv = Watching(1, 2, 3)
    x = torch.rand(2, 1, 5, 5)
    mixed = amp.MixedPrecision(conv, torch.bfloat16)
    mixed(x)  # which also looks for the layout
    types.clear()
    scores = mixed(x)
    assert scores.dtype == torch.float32
    assert types == [torch.bfloat16]
    torch.testing.assert_close(scores, nn.Conv2d.forward(conv, x), atol=2e-2, rtol=2e-2)


def test_other_outputs_pass_unchanged():
    class Two(nn.Module):
        def forward(self, x):
            return {"x": x}

    x = torch.rand(1, 1, 2, 2)
    assert amp.MixedPrecision(Two(), torch.bfloat16)(x)["x"] == pytest.approx(x)
