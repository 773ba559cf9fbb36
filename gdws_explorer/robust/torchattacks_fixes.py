"""Subclasses that fix bugs in torchattacks 3.3.

Importing torchattacks takes a second: import this module when an attack begins, not before.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchattacks
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gdws_explorer.robust.attack_base import TARGETS
from gdws_explorer.utils.precision import CastingModel


class TorchattacksAdapter(nn.Module):
    """A model in the form that torchattacks needs.

    The gradient of the input is contiguous: torchattacks calls `view` on it, and a channels-last
    network would return another layout. The scores are a copy, because Square writes into them.
    Both have the precision of the images, whatever the model's is; see CastingModel.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = CastingModel.of(model)
        # torchattacks reads the device from the first parameter, and a model may have none.
        first = next(model.parameters(), torch.zeros(()))
        self.anchor = nn.Parameter(torch.zeros((), device=first.device), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns scores `(B, classes)` for images `(B, C, H, W)`."""
        contiguous = x.flatten(1).view(x.shape)
        scores: Tensor = self.model(contiguous)
        return scores.to(x.dtype, copy=True)


class PerImageNoise(TorchFunctionMode):
    """A mode in which the first noise of shape `(B, C, H, W)` is drawn for each image separately.

    The noise of an image depends on its pixels and the seed, not on the other images of the batch.
    Two plans therefore get the same noise, and an ensemble fools the images that its parts fool.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images: Tensor | None = images

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls `func`, except for the first `torch.rand` or `torch.randn`."""
        if self.images is None or func not in (torch.rand, torch.randn):
            return func(*args, **(kwargs or {}))
        images, self.images = self.images, None
        return noise_per_image(func, images, args[0])


class DeterministicAPGD(torchattacks.APGD):  # type: ignore[misc]
    """APGD with a separate random start for each image; see `PerImageNoise`."""

    def attack_single_run(self, x_in: Tensor, y_in: Tensor) -> Any:
        """Runs torchattacks' attack once."""
        with PerImageNoise(x_in):
            return super().attack_single_run(x_in, y_in)


class DeterministicSquare(torchattacks.Square):  # type: ignore[misc]
    """Square with a separate first pattern for each image, for the reason given in `PerImageNoise`.

    The position of later patches is the same for the whole batch, as in torchattacks. In ℓ2 their
    sign is the same too, because torchattacks does not say which images remain.
    """

    def attack_single_run(self, x: Tensor, y: Tensor) -> Any:
        """Runs torchattacks' attack once."""
        self.first_images: Tensor | None = x
        return super().attack_single_run(x, y)

    def margin_and_loss(self, x: Tensor, y: Tensor) -> Any:
        """Returns the margins of a pattern; the first call comes after the first pattern."""
        self.first_images = None
        return super().margin_and_loss(x, y)

    def random_choice(self, shape: Sequence[int]) -> Tensor:
        """Returns random signs of the given shape, `(B, C, H, W)` or without B."""
        if len(shape) < 4:
            signs: Tensor = super().random_choice(shape)
            return signs
        if self.first_images is None:
            signs = super().random_choice([1, *shape[1:]])
            return signs.repeat(shape[0], 1, 1, 1)
        noise = noise_per_image(torch.rand, self.first_images, shape)
        return torch.sign(2 * noise - 1).to(self.device)


class TargetedAPGD(DeterministicAPGD):
    """APGD towards each of the most likely wrong classes in turn (Croce & Hein, ICML 2020, sec. 4).

    torchattacks' own APGDT uses the first image's step size for a whole ℓ2 batch. Here the target
    is part of APGD's loss instead.
    """

    def __init__(self, model: nn.Module, **settings: Any) -> None:
        super().__init__(model, loss="dlr", **settings)
        self.n_target_classes = TARGETS
        self.rank = 2
        self.target: Tensor | None = None

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns attacked images; an image that no target fooled is returned unchanged."""
        images, labels = images.to(self.device), labels.to(self.device)
        attacked = images.clone()
        at = torch.arange(len(images), device=self.device)
        for rank in range(2, self.n_target_classes + 2):
            self.rank = rank
            remaining, attacked[at] = self.perturb(images[at], labels[at])
            at = at[remaining]
            if not len(at):
                break
            self.seed += 1
        return attacked

    def attack_single_run(self, x_in: Tensor, y_in: Tensor) -> Any:
        """Runs torchattacks' attack once, towards the class with the `rank`-th highest score."""
        self.target = self.get_logits(x_in).argsort(dim=1)[:, -self.rank]
        return super().attack_single_run(x_in, y_in)

    def dlr_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the targeted difference of logits ratio (eq. 7) of scores `(B, classes)`."""
        row = torch.arange(len(x), device=x.device)
        order = x.sort(dim=1)[0]
        spread = order[:, -1] - 0.5 * (order[:, -3] + order[:, -4])
        return (x[row, self.target] - x[row, y]) / (spread + 1e-12)


def noise_per_image(draw: Callable[..., Tensor], images: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns noise of a shape, on the CPU; a row depends on its image and torch's random state."""
    seed = int(torch.randint(2**31, ()))
    keys = [zlib.crc32(image.tobytes(), seed) for image in images.cpu().numpy()]
    rows = [draw(tuple(shape[1:]), generator=torch.Generator().manual_seed(key)) for key in keys]
    return torch.stack(rows)
