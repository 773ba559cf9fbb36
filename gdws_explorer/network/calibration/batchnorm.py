"""Statistics of BatchNorm layers, measured anew on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.calibration.lockstep import LockstepForward
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_input, cast_like, to_float64
from gdws_explorer.utils.modules import own_copy, set_requires_grad
from gdws_explorer.utils.precision import check_finite
from gdws_explorer.utils.tensors import tensors_of


def reestimate_batchnorm(
    model: nn.Module, x: Tensor, *, batch_size: int = 128, cancel: Cancel = None
) -> nn.Module:
    """Returns a copy whose BatchNorm layers have the means and variances of the images.

    Layer after layer in forward order, each of every kind of BatchNorm that keeps statistics gets
    those of all images together, whatever the batch size; what follows it sees its new output.
    Clean images raise clean accuracy and may lower robust accuracy; attacked ones the other way.

    Parameters
    ----------
    model : nn.Module
    x : images `(N, C, H, W)`, clean or attacked.
    batch_size : images in one forward pass. cancel : looked at before every layer.

    Raises
    ------
    DataError
        A layer sees one value per channel only, which has no variance.
    ModelError
        The model takes different ways for different images, or reads the statistics of a BatchNorm
        without calling it.
    """
    mine = own_copy(model)
    norms = {
        name: m
        for name, m in mine.named_modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None
    }
    sums: dict[str, _Statistics] = {}
    with LockstepForward(mine, list(torch.split(x, batch_size)), norms, {}) as forward:
        while (stop := forward.step()) is not None:
            stop_if(cancel)
            name, inputs = stop
            statistics = sums.setdefault(name, _Statistics.zero(inputs[0]))
            for each in inputs:
                statistics.add(each)
            statistics.write(norms[name], name)
    unread = {n: m for n, m in norms.items() if n not in sums}
    read = _read_buffers(mine, x[:1], unread)
    if read:
        raise ModelError(
            f"the model reads the statistics of {', '.join(read)} without calling the layer, so "
            "they cannot be measured anew; build without batchnorm=."
        )
    return set_requires_grad(mine.eval(), True)


@dataclass
class _Statistics:
    """Sums over all images and positions, by channel, in float64: about the first mean.

    The sums are taken about `shift`, the mean of the first batch, so that a large mean does not
    cancel the variance.
    """

    shift: Tensor
    total: Tensor
    squares: Tensor
    count: int

    @classmethod
    def zero(cls, x: Tensor) -> _Statistics:
        """Starts with the mean of `x` `(N, C, …)` as the shift."""
        mean = to_float64(x).transpose(0, 1).flatten(1).mean(1)
        return cls(mean, torch.zeros_like(mean), torch.zeros_like(mean), 0)

    def add(self, x: Tensor) -> None:
        """Adds the values of `x` `(N, C, …)`."""
        values = to_float64(x).transpose(0, 1).flatten(1) - self.shift[:, None]
        self.total += values.sum(1)
        self.squares += values.square().sum(1)
        self.count += values.shape[1]

    def write(self, norm: nn.modules.batchnorm._BatchNorm, name: str) -> None:
        """Sets the running mean and the unbiased running variance of `norm`."""
        if self.count < 2:
            raise DataError(
                f"the BatchNorm {name} sees one value per channel, which has no variance; give at "
                "least two images."
            )
        mean = self.total / self.count
        variance = (self.squares - self.count * mean.square()) / (self.count - 1)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(cast_like(norm.running_mean, self.shift + mean))
        norm.running_var.copy_(cast_like(norm.running_var, variance.clamp_min(0)))
        check_finite(name, norm.running_mean, norm.running_var, dtype=norm.running_var.dtype)


class _BufferReads(TorchFunctionMode):
    """A context that records which of some tensors a forward pass reads."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self.read: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for each in tensors_of((args, kwargs or {})):
            if id(each) in self._names:
                self.read.add(self._names[id(each)])
        return func(*args, **(kwargs or {}))


def _read_buffers(
    model: nn.Module, x: Tensor, norms: Mapping[str, nn.modules.batchnorm._BatchNorm]
) -> list[str]:
    """Returns the names of those norms whose statistics one forward pass reads."""
    names = {id(b): name for name, norm in norms.items() for b in norm.buffers()}
    if not names:
        return []
    with torch.no_grad(), _BufferReads(names) as reads:
        model(as_input(model, x))
    return sorted(reads.read)
