"""torchattacks 3.3's classes, with what they get wrong put right.

torchattacks is imported here and takes a second: import this module where an attack begins.
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
from gdws_explorer.utils.devices import dtype_of


class TorchattacksAdapter(nn.Module):
    """`model` as torchattacks can take it.

    The input's gradient comes back contiguous (torchattacks views it, and a channels-last network
    would give another layout), the scores are a copy (Square writes into them, and they may be a
    view of the images), and both have the images' precision whatever the model computes in.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype_of(model)
        # torchattacks asks the first parameter for the device, and a model may have none.
        first = next(model.parameters(), torch.zeros(()))
        self.anchor = nn.Parameter(torch.zeros((), device=first.device), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores `(B, classes)` for images `(B, C, H, W)`."""
        contiguous = x.flatten(1).view(x.shape)
        return self.model(contiguous.to(self.dtype)).to(x.dtype, copy=True)


class PerImageNoise(TorchFunctionMode):
    """Inside, the first noise of a shape `(B, C, H, W)` is drawn for every image by itself.

    What an image meets depends on its pixels and the seed, not on the images that stand beside it:
    two plans meet the same noise, and an ensemble fools what its parts fool.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images: Tensor | None = images

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func`, but for the first `torch.rand` or `torch.randn`."""
        if self.images is None or func not in (torch.rand, torch.randn):
            return func(*args, **(kwargs or {}))
        images, self.images = self.images, None
        return by_image(func, images, args[0])


class DeterministicAPGD(torchattacks.APGD):
    """APGD whose tries start every image for itself, see `OwnStart`."""

    def attack_single_run(self, x_in: Tensor, y_in: Tensor) -> Any:
        """One try of torchattacks'."""
        with PerImageNoise(x_in):
            return super().attack_single_run(x_in, y_in)


class DeterministicSquare(torchattacks.Square):
    """Square whose first pattern is every image's own, for the reason of `OwnStart`.

    Later patches lie at one place for the whole batch, as torchattacks has it; in ℓ2 they have one
    sign too, as it does not say which of the images are left.
    """

    def attack_single_run(self, x: Tensor, y: Tensor) -> Any:
        """One try of torchattacks'."""
        self.first_of: Tensor | None = x
        return super().attack_single_run(x, y)

    def margin_and_loss(self, x: Tensor, y: Tensor) -> Any:
        """The margins of a pattern, the first of which is laid when it is first asked for them."""
        self.first_of = None
        return super().margin_and_loss(x, y)

    def random_choice(self, shape: Sequence[int]) -> Tensor:
        """Signs of the given shape, `(B, C, H, W)` or without B."""
        if len(shape) < 4:
            return super().random_choice(shape)
        if self.first_of is None:
            return super().random_choice([1, *shape[1:]]).repeat(shape[0], 1, 1, 1)
        return torch.sign(2 * by_image(torch.rand, self.first_of, shape) - 1).to(self.device)


class TargetedAPGD(DeterministicAPGD):
    """APGD towards each of the most likely wrong classes in turn (Croce & Hein, ICML 2020, sec. 4).

    torchattacks' own APGDT steps through a whole ℓ2 batch with its first image's step size; here
    the target goes into APGD's loss instead.
    """

    def __init__(self, model: nn.Module, **settings: Any) -> None:
        super().__init__(model, loss="dlr", **settings)
        self.n_target_classes = TARGETS
        self.rank = 2
        self.aim: Tensor | None = None

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attacked images; those that no target fooled come back as they were."""
        images, labels = images.to(self.device), labels.to(self.device)
        attacked = images.clone()
        at = torch.arange(len(images), device=self.device)
        for rank in range(2, self.n_target_classes + 2):
            self.rank = rank
            stands, attacked[at] = self.perturb(images[at], labels[at])
            at = at[stands]
            if not len(at):
                break
            self.seed += 1
        return attacked

    def attack_single_run(self, x_in: Tensor, y_in: Tensor) -> Any:
        """One try of torchattacks', towards the class that scores `rank`-th on the images."""
        self.aim = self.get_logits(x_in).argsort(dim=1)[:, -self.rank]
        return super().attack_single_run(x_in, y_in)

    def dlr_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The targeted difference of logits ratio (eq. 7) of scores `(B, classes)`: `(B,)`."""
        row = torch.arange(len(x), device=x.device)
        order = x.sort(dim=1)[0]
        spread = order[:, -1] - 0.5 * (order[:, -3] + order[:, -4])
        return (x[row, self.aim] - x[row, y]) / (spread + 1e-12)


def by_image(draw: Callable[..., Tensor], images: Tensor, shape: Sequence[int]) -> Tensor:
    """Noise `shape` on the CPU; a row depends on its image and on torch's random state."""
    seed = int(torch.randint(2**31, ()))
    keys = [zlib.crc32(image.tobytes(), seed) for image in images.cpu().numpy()]
    rows = [draw(tuple(shape[1:]), generator=torch.Generator().manual_seed(key)) for key in keys]
    return torch.stack(rows)
