"""Normalisation inside the model, so that attacks work on images in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError


class Normalized(nn.Module):
    """A model that is applied to (x − mean) / std, for images `(N, C, H, W)` in [0, 1].

    Mean and std are buffers: they move with the model, are saved with it, and belong to its
    fingerprint. The layers' names begin with `model.`; MACs stay as they are.

    Parameters
    ----------
    model : torch.nn.Module
        A model that was trained on normalised images.
    mean, std : float or sequence of float
        One number per channel, or one for all, in units of images in [0, 1]; CIFAR-10's are
        (0.4914, 0.4822, 0.4465) and (0.2471, 0.2435, 0.2616), ImageNet's
        (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).

    Raises
    ------
    ModelError
        Mean or std cannot be used.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, mean: float | Sequence[float], std: float | Sequence[float]
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ModelError(f"the model is {type(model).__name__}; expected a torch.nn.Module.")
        self.model = model
        means, stds = _numbers(mean, "mean"), _numbers(std, "std")
        if len(means) != len(stds):
            raise ModelError(
                f"there are {len(means)} numbers in mean and {len(stds)} in std; expected one per "
                "channel in both."
            )
        if min(stds) <= 0:
            raise ModelError(f"a std is {min(stds):g}; expected numbers above 0.")
        if max(map(abs, means)) > 1:
            raise ModelError(
                f"a mean is {max(means, key=abs):g}; expected means of images in [0, 1]: divide "
                "those of 8-bit images by 255, and the std as well."
            )
        first = next(model.parameters(), torch.zeros(()))
        for name, values in (("mean", means), ("std", stds)):
            buffer = torch.tensor(values, device=first.device, dtype=first.dtype)
            self.register_buffer(name, buffer.view(1, -1, 1, 1))
        self.train(model.training)

    def forward(self, x: Tensor) -> Any:
        """Returns the model's output for the normalised images."""
        channels = self.mean.shape[1]
        if channels != 1 and x.shape[1] != channels:
            raise DataError(
                f"the images have shape {tuple(x.shape)}; expected (N, {channels}, H, W), as the "
                f"normalisation has {channels} channels."
            )
        return self.model((x - self.mean) / self.std)


def _numbers(given: Any, name: str) -> list[float]:
    try:
        numbers = torch.as_tensor(given, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ModelError(f"{name} is {given!r}; expected one finite number per channel.")
    return numbers
