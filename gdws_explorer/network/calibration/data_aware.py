"""Data-aware settings of a network: images, families, layer weights and labels of plans."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.progress import progress_between
from gdws_explorer.utils.tensors import all_finite, checked_labels, tensor_of


def calibrate_clean_and_attacked(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None,
    attack: AttackLike | None,
    names: Collection[str],
    n: int | None,
    seed: int,
    device: str | torch.device | None,
    progress: ProgressFn | None,
    cancel: Cancel,
) -> Calibration:
    """Returns the moments of clean images with the gradients of attacked ones.

    Without an attack the gradients are those of the clean images. Arguments as in `calibrate`.
    """
    passes = 1 if attack is None else 2

    def one_pass(number: int, under: AttackLike | None) -> Calibration:
        part = progress_between(progress, number / passes, (number + 1) / passes)
        return calibrate(
            model, x, y, under, names=names, n=n, seed=seed, device=device, progress=part,
            cancel=cancel,
        )  # fmt: skip

    clean = one_pass(0, None)
    return clean if attack is None else clean.weighted_by(one_pass(1, attack))


def images_of(x: object, shape: tuple[int, ...]) -> Tensor:
    """Returns images `(N, C, H, W)` of this input shape, contiguous. Raises DataError."""
    try:
        images = tensor_of(x, "the images")
    except DataError:
        if isinstance(x, Tensor):
            raise
        raise DataError(
            f"the images are {type(x).__name__}; expected a tensor or an array (N, C, H, W), "
            "with the labels as a separate argument."
        ) from None
    if images.ndim != 1 + len(shape) or not len(images) or images.shape[1:] != shape:
        raise DataError(
            f"the images have shape {tuple(images.shape)}; expected at least one of the shape "
            f"{shape} that the network takes, (N, C, H, W)."
        )
    if not images.is_floating_point() or not all_finite(images):
        raise DataError("the images are not finite floating-point numbers; expected [0, 1].")
    return images.contiguous()


def labels_of(y: object, count: int) -> Tensor | None:
    """Returns the labels `(count,)` as int64, None for None. Raises DataError."""
    return None if y is None else checked_labels(y, count)


def check_calibration(calibration: object, model: nn.Module) -> None:
    """Raises DataError unless it is a calibration of this model with these weights."""
    if not isinstance(calibration, Calibration):
        raise DataError(
            f"the calibration is a {type(calibration).__name__}; expected what "
            "net.calibrate(images) gives."
        )
    if calibration.model != weights_digest(model):
        raise DataError(
            "the calibration is of another network, or of other weights; make one of this network "
            "with net.calibrate(images)."
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
    """Returns factors of the layers' errors: the geometric mean of two weights (ours).

    The sensitivity of the margins alone leaves some layers almost empty at small budgets, where
    errors are no longer small. The inverse energy of the output alone ignores the decision.
    energies : of the outputs, by name.
    """
    sensitivity = calibration.weights
    return {
        name: (sensitivity[name] / (energy or 1.0)) ** 0.5
        for name, energy in energies.items()
        if name in sensitivity
    }


def calibration_label(calibration: Calibration, refit: Tensor | None) -> str:
    """Returns the label that plans of a calibration carry; refit : images to refit on."""
    name = calibration.fingerprint[:32]
    if refit is None:
        return name
    return f"{name}+{Digest().tensors([('x', refit)]).hex[:16]}"


def source_mismatch(theirs: str | None, ours: str | None) -> str:
    """Returns the message for a plan and a network view of different labels."""
    if theirs is not None and theirs.startswith(REFIT):
        return (
            f"the plan is refitted on images ({theirs}), this network is not, or on others; use "
            "net.refitted(images) with the same images, or use its choices with "
            "net.plan(dict(plan))."
        )
    if theirs is not None and theirs.startswith(TRAINED):
        return (
            f"the plan's factors were trained ({theirs[:16]}…), this network's were not, or "
            "otherwise; use net.trained(model) with the trained network."
        )
    if theirs is None:
        return (
            "the plan is made from the weights alone, this network is calibrated, refitted or "
            "trained; use its choices with net.plan(dict(plan))."
        )
    here = "is not calibrated" if ours is None else f"has the calibration {ours[:12]}…"
    return (
        f"the plan is made from data (calibration {theirs[:12]}…), this network {here}; use "
        "net.calibrated(…) with the same images and settings."
    )
