"""One kernel, its approximations, what is lost."""

from __future__ import annotations

import numpy as np
import torch

import gdws_explorer as gx
from gdws_explorer.figures import kernel_comparison


def test_titles_tell_the_error_of_the_whole_kernel() -> None:
    weight = torch.randn(12, 10, 3, 3, generator=torch.Generator().manual_seed(0))
    spectrum = gx.gdws.spectrum(weight)
    counts = spectrum.mego(30)
    data = kernel_comparison.info(weight, {"GDWS": spectrum.kernel(counts), "all": weight})
    error = spectrum.error(counts) / float(weight.double().square().sum())
    assert data.titles == [
        "the kernel W", "GDWS", f"lost: {error:.0%} of ‖W‖²", "all", "lost: 0% of ‖W‖²",
    ]  # fmt: skip


def test_rebuilt_and_lost_add_up_to_the_original() -> None:
    weight = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(1))
    data = kernel_comparison.info(weight, {"half": 0.5 * weight})
    side = 6 * 4 - 1
    whole, half, lost = (data.canvas[:, i * (side + 3) :][:, :side] for i in range(3))
    kept = ~np.isnan(whole)
    assert kept.sum() == 6 * 6 * 9
    assert np.allclose((half + lost)[kept], whole[kept], atol=2e-3)
    figure = kernel_comparison.figure(data)
    assert len(figure.layout.annotations) == 3


def test_small_and_empty_kernels_are_drawn() -> None:
    weight = torch.zeros(2, 1, 3, 3)
    assert kernel_comparison.info(weight + 1, {}).canvas.shape == (7, 3)
    data = kernel_comparison.info(weight, {"same": weight})
    assert data.titles[-1] == "lost: 0% of ‖W‖²"
