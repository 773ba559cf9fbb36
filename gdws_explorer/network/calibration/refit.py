"""The weights that a compressed network should have, in closed form; no training.

Ours: layer after layer in forward order, the last factor of a factorised layer is solved for by
ridge least squares from the compressed network's own activations to the dense network's outputs.
It uses the correlation between channels, which a spectrum of single channels cannot see. A layer
whose output is added to another branch (a residual network's shortcut) is solved for at the sum:
what that branch has lost so far is part of what the layer is to give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.calibration.lockstep import SUM, LockstepForward
from gdws_explorer.network.calibration.margins import Progress
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import cast_like, device_of, to_float64
from gdws_explorer.utils.modules import own_copy

RIDGE = 1e-4  # of the mean eigenvalue of the normal equations, towards the present weights
EMPHASIS = 3.0
SMALLEST = 1e-3  # a BatchNorm channel scaled by less than this share of the largest counts so

Factored = GDWSConv2d | Tucker2Conv2d | SVDConv2d | SpatialSVDConv2d


def refit(
    dense: nn.Module,
    compressed: nn.Module,
    x: Tensor,
    *,
    attacked: Tensor | None = None,
    emphasis: float = EMPHASIS,
    ridge: float = RIDGE,
    feedback: bool = True,
    batch_size: int = 64,
    progress: Progress = None,
    cancel: Cancel = None,
) -> nn.Module:
    """A copy of `compressed` that follows `dense` on the images as well as its structure can.

    Parameters
    ----------
    dense, compressed : the network, and what `Network.build` made of it. Neither is changed.
    x : calibration images `(N, C, H, W)`; a few hundred are enough.
    attacked : the same images under attack, `(N, C, H, W)`. Then the outputs must also move as
        the dense network's do from an image to its attacked twin: some clean accuracy for some
        robust accuracy, where the attack is on the compressed network.
    emphasis : what a squared error of such a move counts against one of an output.
    ridge : holds the weights near the present ones, as a share of the features' mean energy.
    feedback : solve for layers before a sum with what the sum's other branch has lost.
    progress : called with the fraction done. cancel : looked at before every layer.

    Linear layers and layers with groups stay as they are. A layer that is called more than once
    is solved for at each call with all that was seen so far. Returns a module in eval mode, its
    parameters trainable.

    Raises
    ------
    DataError, ModelError : what was given cannot be used. Cancelled.
    """
    if x.ndim != 4 or not len(x) or (attacked is not None and attacked.shape != x.shape):
        raise DataError(
            f"the images have shape {tuple(x.shape)}; expected (N, C, H, W), and the attacked "
            "ones, where given, of the same shape."
        )
    theirs, mine = own_copy(dense), own_copy(compressed)
    x = x.to(device_of(mine))
    attacked = None if attacked is None else attacked.to(x.device)
    found = {n: m for n, m in mine.named_modules() if isinstance(m, Factored)}
    layers = {n: m for n, m in found.items() if _last(m).groups == 1}
    convs = _counterparts(theirs, layers)
    added = _added(theirs, x[:1], convs) if feedback else {}
    batches = list(torch.split(x, batch_size))
    batches += [] if attacked is None else list(torch.split(attacked, batch_size))
    weight = 0.0 if attacked is None else emphasis
    known: dict[str, _Equations] = {}
    waiting: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    met = 0
    with (
        LockstepForward(theirs, batches, {}, convs, added) as teacher,
        LockstepForward(mine, batches, layers, {}, added) as pupil,
    ):
        while (here := pupil.step()) is not None:
            stop_if(cancel)
            there = teacher.step()
            if there is None or there[0] != here[0]:
                raise ModelError(f"the two networks do not call their layers alike at {here[0]}.")
            name, inputs, wanted = here[0].removeprefix(SUM), here[1], there[1]
            if here[0] != name:  # at the sum: what the other branch lost is wanted too
                lost = [a - b for a, b in zip(wanted, inputs, strict=True)]
                inputs, plain = waiting.pop(name)
                wanted = [y + e / added[name] for y, e in zip(plain, lost, strict=True)]
            elif name in added:
                waiting[name] = inputs, wanted
                continue
            layer = layers[name]
            pairs = zip(_moves(inputs, weight), _moves(wanted, weight), strict=True)
            for turn, (taken, outputs) in enumerate(pairs):
                features = _inside(layer, taken)
                equations = known.setdefault(name, _Equations.zero(features.shape[1], outputs))
                equations.add(features, outputs, moved=turn * batch_size >= len(x))
            _solve(_last(layer), known[name], ridge)
            met += 1
            if progress is not None:
                progress(min(1.0, met / len(layers)))
    return mine.requires_grad_(True)


def reestimate_batchnorm(
    model: nn.Module, x: Tensor, *, batch_size: int = 128, cancel: Cancel = None
) -> nn.Module:
    """A copy whose BatchNorm layers have the means and variances of the images `(N, C, H, W)`.

    Give clean images or attacked ones: on clean images clean accuracy rises and robust accuracy
    may fall. Averages over the batches; the model is otherwise in eval mode, as it is returned.
    """
    mine = own_copy(model)
    norms = [m for m in mine.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    with torch.no_grad():
        for part in torch.split(x.to(device_of(mine)), batch_size):
            stop_if(cancel)
            mine(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return mine.eval().requires_grad_(True)


@dataclass
class _Equations:
    """Normal equations of outputs by features, summed in float64.

    inner `(F, F)`, cross `(M, F)`, of_features `(F,)`, of_outputs `(M,)`: sums. count : positions
    of images; moves have no mean and are not counted.
    """

    inner: Tensor
    cross: Tensor
    of_features: Tensor
    of_outputs: Tensor
    count: int

    @classmethod
    def zero(cls, width: int, outputs: Tensor) -> _Equations:
        out = outputs.shape[1]
        shapes = ((width, width), (out, width), (width,), (out,))
        inner, cross, features, sums = (to_float64(outputs.new_zeros(shape)) for shape in shapes)
        return cls(inner, cross, features, sums, 0)

    def add(self, features: Tensor, outputs: Tensor, *, moved: bool) -> None:
        """`features` `(N, F, …)` and `outputs` `(N, M, …)` at the same positions, or moves."""
        f = features.flatten(2).transpose(0, 1).flatten(1)
        y = outputs.flatten(2).transpose(0, 1).flatten(1)
        self.inner += to_float64(f @ f.T)
        self.cross += to_float64(y @ f.T)
        if not moved:
            self.of_features += to_float64(f.sum(1))
            self.of_outputs += to_float64(y.sum(1))
            self.count += f.shape[1]

    def centred(self, on: bool) -> tuple[Tensor, Tensor]:
        """Inner and cross products, about the means where a bias takes these up."""
        if not on:
            return self.inner, self.cross
        mean = self.of_features / self.count
        return (
            self.inner - torch.outer(self.of_features, mean),
            self.cross - torch.outer(self.of_outputs, mean),
        )

    def bias(self, weight: Tensor) -> Tensor:
        """What is left of the outputs' mean, `(M,)`."""
        return (self.of_outputs - weight @ self.of_features) / self.count


def _added(
    model: nn.Module, x: Tensor, convs: Mapping[str, nn.Conv2d]
) -> dict[str, Tensor | float]:
    """The convolutions whose output is added to another branch, and by what it is scaled before."""
    found: dict[str, Tensor | float] = {}
    with LockstepForward(model, [x], {}, convs, convs) as march:
        while (here := march.step()) is not None:
            if here[0].startswith(SUM):
                found[here[0].removeprefix(SUM)] = _scale(march.norm)
    return found


def _scale(norm: nn.BatchNorm2d | None) -> Tensor | float:
    """What a BatchNorm multiplies each channel by, `(M, 1, 1)`, kept away from zero."""
    if norm is None or norm.running_var is None:
        return 1.0
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    least = SMALLEST * float(scale.abs().max())
    sign = torch.where(scale < 0, -1.0, 1.0)
    return (sign * scale.abs().clamp_min(least))[:, None, None]


def _moves(parts: Sequence[Tensor], weight: float) -> list[Tensor]:
    """Images as they are, and attacked ones less their clean twins, by the root of `weight`."""
    if not weight:
        return list(parts)
    half = len(parts) // 2
    pairs = zip(parts[:half], parts[half:], strict=True)
    return [*parts[:half], *((moved - plain) * weight**0.5 for plain, moved in pairs)]


def _solve(last: nn.Conv2d, equations: _Equations, ridge: float) -> None:
    """Ridge least squares for a convolution, towards its present weights."""
    inner, cross = equations.centred(last.bias is not None)
    now = to_float64(last.weight.flatten(1))
    held = ridge * inner.trace() / len(inner) or 1.0
    system = inner + held * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    new = torch.linalg.solve(system, (cross + held * now).T).T
    last.weight.copy_(cast_like(last.weight, new).view_as(last.weight))
    if last.bias is not None:
        last.bias.copy_(cast_like(last.bias, equations.bias(new)))


def _inside(layer: Factored, x: Tensor) -> Tensor:
    """What the last factor of a layer takes, as patches `(N, F, P)`."""
    if isinstance(layer, GDWSConv2d):
        inside = layer.depthwise(x.index_select(-3, layer.index))
    elif isinstance(layer, Tucker2Conv2d):
        inside = layer.core(layer.first(x))
    else:
        inside = layer.first(x)
    return patches(_last(layer), inside).flatten(1, 2)


def _last(layer: Factored) -> nn.Conv2d:
    return layer.pointwise if isinstance(layer, GDWSConv2d) else layer.last


def _counterparts(dense: nn.Module, layers: dict[str, Factored]) -> dict[str, nn.Conv2d]:
    """The dense network's convolutions under the factorised layers' names."""
    named = dict(dense.named_modules())
    found = {}
    for name in layers:
        conv = named.get(name)
        if not isinstance(conv, nn.Conv2d):
            raise ModelError(
                f"the dense network has no convolution {name!r}; expected the network that the "
                "compressed one was built from."
            )
        found[name] = conv
    return found
