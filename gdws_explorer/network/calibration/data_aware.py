"""A network as some images drive it: what they tell, and what it leaves the layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.calibration.calibrate import (
    Calibration,
    calibrate,
    weights_digest,
)
from gdws_explorer.network.calibration.margins import AttackLike
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import REFIT, TRAINED
from gdws_explorer.utils.hashing import Digest


def calibrate_clean_and_attacked(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None,
    attack: AttackLike | None,
    names: Collection[str],
    n: int | None,
    seed: int,
    device: str | torch.device | None,
    progress: Callable[[float], None] | None,
    cancel: Callable[[], bool] | None,
) -> Calibration:
    """Moments of the clean images, and gradients of those under attack, where there is one."""
    passes = 1 if attack is None else 2

    def one(turn: int, under: AttackLike | None) -> Calibration:
        def say(fraction: float) -> None:
            if progress is not None:
                progress((turn + fraction) / passes)

        return calibrate(
            model, x, y, under, names=names, n=n, seed=seed, device=device, progress=say,
            cancel=cancel,
        )  # fmt: skip

    clean = one(0, None)
    return clean if attack is None else clean.weighed_by(one(1, attack))


def images_of(x: object, shape: tuple[int, ...]) -> Tensor:
    """Images `(N, C, H, W)` for a network of this input shape, as a tensor. Raises DataError."""
    try:
        images = x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError):
        raise DataError(
            f"the images are {type(x).__name__}; expected a tensor or an array (N, C, H, W), the "
            "labels being an argument of their own."
        ) from None
    if images.ndim != 1 + len(shape) or not len(images) or images.shape[1:] != shape:
        raise DataError(
            f"the images have shape {tuple(images.shape)}; expected at least one of the shape "
            f"{shape} that the network takes, (N, C, H, W)."
        )
    if not images.is_floating_point() or not bool(torch.isfinite(images).all()):
        raise DataError("the images are not finite floating-point numbers; expected [0, 1].")
    return images


def labels_of(y: object) -> Tensor | None:
    """Labels `(N,)` as a tensor, None for None."""
    return y if y is None or isinstance(y, Tensor) else torch.as_tensor(np.asarray(y))


def check_calibration(calibration: object, model: nn.Module) -> None:
    """Raise DataError unless it is a calibration of this very model."""
    if not isinstance(calibration, Calibration):
        raise DataError(
            f"the calibration is a {type(calibration).__name__}; expected what "
            "net.calibrate(images) gives."
        )
    if calibration.model != weights_digest(model):
        raise DataError(
            "the calibration is of another network, or of other weights; make one with "
            "net.calibrate(images)."
        )


def restrict_families(layer: Layer, model: nn.Module, calibration: Calibration) -> Layer:
    """Returns the layer with only the families whose errors the calibration can measure."""
    if not layer.families:
        return layer
    if layer.name not in calibration.layers:
        missing = "the calibration holds no moments of its inputs"
        return layer.without(dict.fromkeys(layer.families, missing))
    module = model.get_submodule(layer.name)
    assert isinstance(module, nn.Conv2d)
    found = {family: FAMILIES[family].why_no_data(module) for family in layer.families}
    return layer.without({family: why for family, why in found.items() if why is not None})


def layer_weights(calibration: Calibration, energies: Mapping[str, float]) -> dict[str, float]:
    """What the layers' errors count, by name: the geometric mean of two opinions (ours).

    What the margins say alone empties layers at small budgets, where errors are no longer small;
    errors relative to each output alone know nothing of the decision. energies : of the outputs.
    """
    told = calibration.weights
    return {
        name: (told[name] / (energy or 1.0)) ** 0.5
        for name, energy in energies.items()
        if name in told
    }


def calibration_label(calibration: Calibration, refit: Tensor | None) -> str:
    """The name of a calibration and of the images to refit on, for plans to carry."""
    name = calibration.fingerprint[:32]
    if refit is None:
        return name
    return f"{name}+{Digest().tensors([('x', refit)]).hex[:16]}"


def source_mismatch(theirs: str | None, ours: str | None) -> str:
    """Why a plan of one source does not fit a network of another, and what to do."""
    if theirs is not None and theirs.startswith(REFIT):
        return (
            f"the plan is refitted on images ({theirs}), this network is not or on others; use "
            "net.refitted(images) with the same ones, or take its choices over with "
            "net.plan(dict(plan))."
        )
    if theirs is not None and theirs.startswith(TRAINED):
        return (
            f"the plan's factors were trained ({theirs[:16]}…), this network's were not or are "
            "others; use net.trained(model) with the trained network."
        )
    if theirs is None:
        return (
            "the plan is one of the weights alone, this network is calibrated, refitted or "
            "trained; take its choices over with net.plan(dict(plan))."
        )
    here = "is not calibrated" if ours is None else f"has the calibration {ours[:12]}…"
    return (
        f"the plan is made from data (calibration {theirs[:12]}…), this network {here}; use "
        "net.calibrated(…) with the same images and settings."
    )
