"""Refits the last factors of a compressed network in closed form, without training.

Ours: layer after layer in forward order, the last factor of a factorised layer is solved for by
ridge least squares, from the compressed network's own activations to the dense network's outputs.
This uses correlations between channels, which a spectrum of single channels ignores. A layer
whose output is added to another branch (a residual network's shortcut) is solved for at the sum,
so that it also corrects the error of that branch.
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
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import cast_like, device_of, to_float64
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import report

RIDGE = 1e-4  # of the mean eigenvalue of the normal equations, towards the present weights
EMPHASIS = 3.0
SMALLEST = 1e-3  # BatchNorm scales are raised to at least this fraction of the largest

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
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> nn.Module:
    """Returns a copy of `compressed` whose outputs are nearest to those of `dense` on images.

    Parameters
    ----------
    dense, compressed : the network, and the result of `Network.build`. Neither is changed.
    x : calibration images `(N, C, H, W)`; a few hundred are enough.
    attacked : the same images under attack, `(N, C, H, W)`. The change of the outputs from an
        image to its attacked version is then fitted too: this costs some clean accuracy and gives
        some robust accuracy, if the compressed network was attacked.
    emphasis : factor of the squared errors of these changes, relative to those of outputs.
    ridge : weight of the distance to the present weights, as a fraction of the features' mean
        energy.
    feedback : whether layers before a sum also correct the error of the sum's other branch.
    progress : called with the finished fraction. cancel : checked before every layer.

    Returns
    -------
    nn.Module : in eval mode, its parameters trainable. Linear layers and layers with groups are
    unchanged. A layer that is called more than once is solved for at each call, with the
    activations of all calls so far.

    Raises
    ------
    DataError, ModelError : an argument cannot be used. Cancelled : on request.
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
    equations_of: dict[str, _Equations] = {}
    waiting: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    solved = 0
    with (
        LockstepForward(theirs, batches, {}, convs, added) as teacher,
        LockstepForward(mine, batches, layers, {}, added) as student,
    ):
        while (stop := student.step()) is not None:
            stop_if(cancel)
            same_stop = teacher.step()
            if same_stop is None or same_stop[0] != stop[0]:
                raise ModelError(
                    f"the two networks call their layers in different orders at {stop[0]}; "
                    "expected a network and its compressed copy."
                )
            name, inputs, targets = stop[0].removeprefix(SUM), stop[1], same_stop[1]
            if stop[0] != name:  # at the sum: the targets include the other branch's error
                errors = [a - b for a, b in zip(targets, inputs, strict=True)]
                inputs, outputs = waiting.pop(name)
                targets = [y + e / added[name] for y, e in zip(outputs, errors, strict=True)]
            elif name in added:
                waiting[name] = inputs, targets
                continue
            layer = layers[name]
            pairs = zip(_differences(inputs, weight), _differences(targets, weight), strict=True)
            for place, (part, target) in enumerate(pairs):
                features = _features(layer, part)
                equations = equations_of.setdefault(
                    name, _Equations.zero(features.shape[1], target)
                )
                equations.add(features, target, differences=place * batch_size >= len(x))
            _solve(_last(layer), equations_of[name], ridge)
            solved += 1
            report(progress, solved / len(layers))
    return mine.requires_grad_(True)


def reestimate_batchnorm(
    model: nn.Module, x: Tensor, *, batch_size: int = 128, cancel: Cancel = None
) -> nn.Module:
    """Returns a copy whose BatchNorm layers have means and variances of images `(N, C, H, W)`.

    The images may be clean or attacked: with clean images clean accuracy rises and robust accuracy
    may fall. Statistics are averaged over the batches. The copy is in eval mode, its parameters
    trainable.
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
    """Normal equations of least squares from features to outputs, summed in float64.

    inner `(F, F)`, cross `(M, F)`, of_features `(F,)`, of_outputs `(M,)` : sums. count : positions
    of images; differences of images have no mean and are not counted.
    """

    inner: Tensor
    cross: Tensor
    of_features: Tensor
    of_outputs: Tensor
    count: int

    @classmethod
    def zero(cls, width: int, outputs: Tensor) -> _Equations:
        """Returns equations without data for features of this width."""
        out = outputs.shape[1]
        shapes = ((width, width), (out, width), (width,), (out,))
        inner, cross, features, sums = (to_float64(outputs.new_zeros(shape)) for shape in shapes)
        return cls(inner, cross, features, sums, 0)

    def add(self, features: Tensor, outputs: Tensor, *, differences: bool) -> None:
        """Adds `features` `(N, F, …)` and `outputs` `(N, M, …)`, or differences of them."""
        f = features.flatten(2).transpose(0, 1).flatten(1)
        y = outputs.flatten(2).transpose(0, 1).flatten(1)
        self.inner += to_float64(f @ f.T)
        self.cross += to_float64(y @ f.T)
        if not differences:
            self.of_features += to_float64(f.sum(1))
            self.of_outputs += to_float64(y.sum(1))
            self.count += f.shape[1]

    def centred(self, on: bool) -> tuple[Tensor, Tensor]:
        """Returns inner and cross products; on : about the means, for layers with a bias."""
        if not on:
            return self.inner, self.cross
        mean = self.of_features / self.count
        return (
            self.inner - torch.outer(self.of_features, mean),
            self.cross - torch.outer(self.of_outputs, mean),
        )

    def bias(self, weight: Tensor) -> Tensor:
        """Returns the outputs' mean minus that of the weighted features, `(M,)`."""
        return (self.of_outputs - weight @ self.of_features) / self.count


def _added(
    model: nn.Module, x: Tensor, convs: Mapping[str, nn.Conv2d]
) -> dict[str, Tensor | float]:
    """Returns the convolutions whose output enters a sum, with its scale before the sum."""
    found: dict[str, Tensor | float] = {}
    with LockstepForward(model, [x], {}, convs, convs) as forward:
        while (stop := forward.step()) is not None:
            if stop[0].startswith(SUM):
                found[stop[0].removeprefix(SUM)] = _scale(forward.norm)
    return found


def _scale(norm: nn.BatchNorm2d | None) -> Tensor | float:
    """Returns a BatchNorm's factor of each channel, `(M, 1, 1)`, at a distance from zero."""
    if norm is None or norm.running_var is None:
        return 1.0
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    least = SMALLEST * float(scale.abs().max())
    sign = torch.where(scale < 0, -1.0, 1.0)
    return (sign * scale.abs().clamp_min(least))[:, None, None]


def _differences(parts: Sequence[Tensor], weight: float) -> list[Tensor]:
    """Returns clean batches, and attacked minus clean ones times the root of `weight`."""
    if not weight:
        return list(parts)
    half = len(parts) // 2
    pairs = zip(parts[:half], parts[half:], strict=True)
    return [*parts[:half], *((moved - plain) * weight**0.5 for plain, moved in pairs)]


def _solve(last: nn.Conv2d, equations: _Equations, ridge: float) -> None:
    """Sets a convolution by ridge least squares, with the ridge towards its present weights."""
    inner, cross = equations.centred(last.bias is not None)
    now = to_float64(last.weight.flatten(1))
    damping = ridge * inner.trace() / len(inner) or 1.0
    system = inner + damping * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    new = torch.linalg.solve(system, (cross + damping * now).T).T
    last.weight.copy_(cast_like(last.weight, new).view_as(last.weight))
    if last.bias is not None:
        last.bias.copy_(cast_like(last.bias, equations.bias(new)))


def _features(layer: Factored, x: Tensor) -> Tensor:
    """Returns the input of a layer's last factor, as patches `(N, F, P)`."""
    if isinstance(layer, GDWSConv2d):
        inside = layer.depthwise(x.index_select(-3, layer.index))
    elif isinstance(layer, Tucker2Conv2d):
        inside = layer.core(layer.first(x))
    else:
        inside = layer.first(x)
    return patches(_last(layer), inside).flatten(1, 2)


def _last(layer: Factored) -> nn.Conv2d:
    """Returns the last factor of a layer, which carries the bias."""
    return layer.pointwise if isinstance(layer, GDWSConv2d) else layer.last


def _counterparts(dense: nn.Module, layers: dict[str, Factored]) -> dict[str, nn.Conv2d]:
    """Returns the dense network's convolutions by the factorised layers' names."""
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
