"""Refits the last factors of a compressed network in closed form, without training.

Ours: layer after layer in forward order, the last factor of a factorised layer is solved for by
ridge least squares, from the compressed network's own activations to the dense network's outputs.
This uses correlations between channels, which a spectrum of single channels ignores. A layer
whose output goes straight into a sum (with a residual network's shortcut) can be solved for at the
sum, so that it also corrects the error of the other branch ("feedback").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.calibration.lockstep import SUM, LockstepForward
from gdws_explorer.network.calibration.residual_sums import find_sums
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_input, cast_like, dtype_of, to_float64, to_single
from gdws_explorer.utils.modules import own_copy, set_requires_grad
from gdws_explorer.utils.precision import check_finite
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.tensors import tensors_of

RIDGE = 1e-4  # of the mean eigenvalue of the normal equations, towards the present weights
EMPHASIS = 3.0

Factored = GDWSConv2d | Tucker2Conv2d | SVDConv2d | SpatialSVDConv2d


@dataclass(frozen=True)
class RefitReport:
    """Report of a refit, which the result of `refit` carries as `.refit_report`.

    feedback : the layers that were solved for at a sum. obstacles : why each other layer before a
    sum was solved for without feedback, by name. lost : the share of the outputs' variance that
    the result loses on the images; lost_otherwise : the same of the way that was not taken, with
    or without feedback, None where only one was tried.
    """

    feedback: tuple[str, ...]
    obstacles: Mapping[str, str]
    lost: float
    lost_otherwise: float | None = None

    def __str__(self) -> str:
        used = f"feedback at {', '.join(self.feedback)}" if self.feedback else "without feedback"
        why = "".join(f"; {name}: {reason}" for name, reason in self.obstacles.items())
        return f"refitted {used}{why}"


def refit(
    dense: nn.Module,
    compressed: nn.Module,
    x: Tensor,
    *,
    attacked: Tensor | None = None,
    emphasis: float = EMPHASIS,
    ridge: float = RIDGE,
    feedback: bool | None = None,
    batch_size: int = 64,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> nn.Module:
    """Returns a copy of `compressed` whose outputs are nearest to those of `dense` on images.

    Linear layers and layers with groups stay as they are. A layer that is called more than once
    is solved for at each call with the activations of all calls so far.

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
    feedback : True solves for layers before a sum with what the sum's other branch has lost;
        False never does; None solves both ways, where there is a sum, and keeps the result whose
        outputs lose less on the images. Feedback is used only where a layer's output goes straight
        into a sum and nothing else reads it; `refit_report` names the layers where it could not be.
    progress : called with the finished fraction. cancel : checked before every layer.

    Returns
    -------
    nn.Module
        In eval mode, its parameters trainable, with a `RefitReport` as `.refit_report`.

    Raises
    ------
    DataError, ModelError
        What was given cannot be used; a network that chooses its way by its input is named so.
    Cancelled
        On request.
    """
    if x.ndim != 4 or not len(x) or (attacked is not None and attacked.shape != x.shape):
        raise DataError(
            f"the images have shape {tuple(x.shape)}; expected (N, C, H, W), and the attacked "
            "ones, where given, of the same shape."
        )
    theirs = own_copy(dense)
    batches = list(torch.split(x, batch_size))
    if attacked is not None:
        batches += list(torch.split(attacked.to(x), batch_size))
    layers = _factored(compressed)
    sums = find_sums(theirs, x[:1], _counterparts(theirs, layers))
    scales = sums.scales if feedback is not False else {}
    ways = [scales, {}] if feedback is None and scales else [scales]
    done = 0

    def solved() -> None:
        nonlocal done
        done += 1
        report(progress, min(1.0, done / (len(layers) * len(ways))))

    weight = 0.0 if attacked is None else emphasis
    settings = _Settings(len(x), batch_size, weight, ridge)
    targets = _outputs(theirs, batches, weight, cancel)
    variance = float((targets - targets.mean(0)).square().sum())
    found = []
    for way in ways:
        mine = own_copy(compressed)
        _solve_layers(theirs, mine, batches, way, settings, solved, cancel)
        error = float((_outputs(mine, batches, weight, cancel) - targets).square().sum())
        found.append((error, mine, way))
    (error, mine, way), *others = sorted(found, key=lambda each: each[0])
    lost, *otherwise = (_share(each, variance) for each in (error, *(e for e, *_ in others)))
    mine.refit_report = RefitReport(  # type: ignore[assignment]
        tuple(way), sums.obstacles, lost, otherwise[0] if otherwise else None
    )
    return set_requires_grad(mine, True)


class _Settings(NamedTuple):
    """images : how many are clean. weight : of squared errors of differences to attacked images."""

    images: int
    batch_size: int
    weight: float
    ridge: float


def _solve_layers(
    dense: nn.Module,
    mine: nn.Module,
    batches: Sequence[Tensor],
    scales: Mapping[str, Tensor | float],
    settings: _Settings,
    solved: Callable[[], None],
    cancel: Cancel,
) -> None:
    """Solves for the layers of `mine` in forward order, those in `scales` at their sums."""
    layers = _factored(mine)
    convs = _counterparts(dense, layers)
    equations_of: dict[str, _Equations] = {}
    waiting: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    with (
        LockstepForward(dense, batches, {}, convs, scales) as teacher,
        LockstepForward(mine, batches, layers, {}, scales) as student,
    ):
        while (stop := student.step()) is not None:
            stop_if(cancel)
            same_stop = teacher.step()
            if same_stop is None or same_stop[0] != stop[0]:
                raise ModelError(
                    f"the two networks call their layers in different orders at {stop[0]}; "
                    "expected a network and its compressed copy."
                )
            name, inputs = stop[0].removeprefix(SUM), stop[1]
            targets = [to_single(target) for target in same_stop[1]]
            if stop[0] != name:  # at the sum: the targets include the other branch's error
                errors = [a - to_single(b) for a, b in zip(targets, inputs, strict=True)]
                inputs, outputs = waiting.pop(name)
                targets = [y + e / scales[name] for y, e in zip(outputs, errors, strict=True)]
            elif name in scales:
                waiting[name] = inputs, targets
                continue
            layer = layers[name]
            parts = _differences(inputs, settings.weight), _differences(targets, settings.weight)
            for place, (part, target) in enumerate(zip(*parts, strict=True)):
                features = _features(layer, part)
                equations = equations_of.setdefault(
                    name, _Equations.zero(features.shape[1], target)
                )
                differences = place * settings.batch_size >= settings.images
                equations.add(features, target, differences=differences)
            _solve(name, _last(layer), equations_of[name], settings.ridge)
            solved()
    if waiting:
        raise ModelError(
            f"the outputs of {', '.join(sorted(waiting))} do not reach the sum that one image "
            "showed: the network chooses its way by its input. Give feedback=False."
        )


def _outputs(model: nn.Module, batches: Sequence[Tensor], weight: float, cancel: Cancel) -> Tensor:
    """Returns the outputs of all images, with differences to attacked ones, `(rows, numbers)`."""
    outputs = []
    with torch.no_grad():
        for batch in batches:
            stop_if(cancel)
            found = next(tensors_of(model(as_input(model, batch))), None)
            if found is None:
                raise ModelError("the model answers without a tensor; expected one with scores.")
            outputs.append(to_float64(found))
    return torch.cat([each.flatten(1) for each in _differences(outputs, weight)])


def _share(error: float, variance: float) -> float:
    """Returns an error as a share of a variance, which a single image does not have."""
    if variance > 0:
        return error / variance
    return 0.0 if error == 0 else float("inf")


def _factored(model: nn.Module) -> dict[str, Factored]:
    """Returns the factorised layers whose last factor is solved for, by name."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, Factored)}
    return {n: m for n, m in found.items() if _last(m).groups == 1}


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
        f = to_single(features).flatten(2).transpose(0, 1).flatten(1)
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


def _differences(parts: Sequence[Tensor], weight: float) -> list[Tensor]:
    """Returns clean batches, and attacked minus clean ones times the root of `weight`."""
    if not weight:
        return list(parts)
    half = len(parts) // 2
    pairs = zip(parts[:half], parts[half:], strict=True)
    return [*parts[:half], *((moved - plain) * weight**0.5 for plain, moved in pairs)]


def _solve(name: str, last: nn.Conv2d, equations: _Equations, ridge: float) -> None:
    """Sets a convolution by ridge least squares, with the ridge towards its present weights.

    name : of its layer. Raises ModelError where activations or weights are infinite or NaN.
    """
    inner, cross = equations.centred(last.bias is not None)
    check_finite(name, inner, cross, dtype=last.weight.dtype)
    now = to_float64(last.weight.flatten(1))
    damping = ridge * inner.trace() / len(inner) or 1.0
    system = inner + damping * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    new = torch.linalg.solve(system, (cross + damping * now).T).T
    last.weight.copy_(cast_like(last.weight, new).view_as(last.weight))
    if last.bias is not None:
        last.bias.copy_(cast_like(last.bias, equations.bias(new)))
    check_finite(name, *last.parameters(), dtype=last.weight.dtype)


def _features(layer: Factored, x: Tensor) -> Tensor:
    """Returns the input of a layer's last factor, as patches `(N, F, P)`."""
    x = x.to(dtype_of(layer))  # the model's own autocast may have given it another type
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
