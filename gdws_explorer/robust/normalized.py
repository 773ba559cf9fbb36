"""A normalisation that lives inside the model, so that attacks work on images in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError


class Normalized(nn.Module):
    """`model` on (x − mean) / std, for images `(N, C, H, W)` in [0, 1].

    Mean and std are buffers: they move with the model, are saved with it, and belong to its
    fingerprint. The layers keep their names behind `model.`; MACs stay as they are.

    Parameters
    ----------
    model : what was trained on normalised images.
    mean, std : one number per channel, or one for all, in units of images in [0, 1]; CIFAR-10's
        are (0.4914, 0.4822, 0.4465) and (0.2471, 0.2435, 0.2616), ImageNet's
        (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).

    Raises ModelError where they are no such numbers.
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
        place = next(model.parameters(), torch.zeros(()))
        for name, values in (("mean", means), ("std", stds)):
            buffer = torch.tensor(values, device=place.device, dtype=place.dtype)
            self.register_buffer(name, buffer.view(1, -1, 1, 1))
        self.train(model.training)

    def forward(self, x: Tensor) -> Any:
        """What the model answers to the normalised images."""
        channels = self.mean.shape[1]
        if channels != 1 and x.shape[1] != channels:
            raise DataError(
                f"the images have shape {tuple(x.shape)}; expected (N, {channels}, H, W), as the "
                f"normalisation has {channels} channels."
            )
        return self.model((x - self.mean) / self.std)


def _numbers(given: Any, what: str) -> list[float]:
    try:
        numbers = torch.as_tensor(given, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ModelError(f"{what} is {given!r}; expected one finite number per channel.")
    return numbers
