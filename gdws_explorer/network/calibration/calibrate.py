"""Calibrates a network on images: moments of its layers' inputs, sensitivity to their outputs.

Ours (data-aware GDWS): an approximation's error is measured in the layer's output, by the second
moments of its input patches, and weighted by how much the normalised margins (Dbouk & Shanbhag,
NeurIPS 2021, eq. 8) depend on that output. The errors of different layers can then be added.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.alpha import MARGIN
from gdws_explorer.network.calibration.margins import (
    BATCH,
    AttackLike,
    LayerActivations,
    attack_images,
    convolutions_of,
    differentiable,
    frozen_copy,
    margin_gradients,
    sample_images,
)
from gdws_explorer.network.plans.moments import Moments
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils import files
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_images, resolve_device, to_float64, to_single
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.progress import report

SCHEMA = 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """The moments of a network's convolutions on some images.

    layers : by name. n : number of images. settings : of `calibrate`, as plain values for JSON.
    fingerprint : SHA-256 of network, images and settings, 64 hex digits.
    """

    layers: Mapping[str, Moments]
    n: int
    settings: Mapping[str, Any]
    fingerprint: str

    def __getitem__(self, name: str) -> Moments:
        try:
            return self.layers[name]
        except KeyError:
            raise DataError(
                f"the calibration has no layer {name!r}; calibrate the network again, with it."
            ) from None

    @property
    def model(self) -> str:
        """The `weights_digest` of the network that was calibrated."""
        settings = self.settings.get("inputs", self.settings)
        return str(settings["model"])

    @cached_property
    def weights(self) -> dict[str, float]:
        """Factors of the squared errors of the layers' outputs, > 0: sensitivity times positions.

        A margin changes by `Σ_p g_p · δ_p`, and `(Σ_p g_p · δ_p)² ≤ P Σ_p (g_p · δ_p)²`. Errors
        at neighbouring positions are similar, and an attack aligns them, so the bound is nearly
        reached. Without the factor P layers of many positions get too small a share of a budget,
        which lowers robust accuracy (measured).
        """
        return {n: max(m.sensitivity * m.positions, 1e-30) for n, m in self.layers.items()}

    def weighted_by(self, other: Calibration) -> Calibration:
        """Returns these moments of inputs with the gradients of another calibration."""
        layers = {
            name: replace(m, gradients=other[name].gradients, positions=other[name].positions)
            for name, m in self.layers.items()
        }
        settings = {"inputs": dict(self.settings), "gradients": dict(other.settings)}
        both = Digest(self.fingerprint + other.fingerprint).hex
        return Calibration(layers, self.n, settings, both)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, atomically."""
        tensors = {
            f"{name}:{part}": getattr(moments, part).contiguous()
            for name, moments in self.layers.items()
            for part in _PARTS
        }
        head = {
            "schema": SCHEMA,
            "n": self.n,
            "settings": dict(self.settings),
            "fingerprint": self.fingerprint,
            "positions": {name: m.positions for name, m in self.layers.items()},
            "output": {name: m.output for name, m in self.layers.items()},
        }
        with files.atomic(path) as temporary:
            save_file(tensors, temporary, {"calibration": json.dumps(head)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Reads a file of `save`. Raises DataError if it is damaged or of another schema."""
        try:
            with safe_open(path, "pt") as file:
                head = json.loads(file.metadata()["calibration"])
                if head["schema"] != SCHEMA:
                    raise KeyError("schema")
                layers = {
                    name: Moments(
                        file.get_tensor(f"{name}:patches"),
                        file.get_tensor(f"{name}:inputs"),
                        file.get_tensor(f"{name}:gradients"),
                        int(positions),
                        float(head["output"][name]),
                    )
                    for name, positions in head["positions"].items()
                }
            return cls(layers, int(head["n"]), head["settings"], str(head["fingerprint"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read as a calibration ({error}); calibrate again."
            ) from error


_PARTS = ("patches", "inputs", "gradients")


@differentiable()
def calibrate(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    attack: AttackLike | None = None,
    *,
    names: Collection[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    margin_floor: float = MARGIN,
    batch_size: int = BATCH,
    cache: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> Calibration:
    """Measures moments and sensitivities of every convolution on images `(N, C, H, W)`.

    Parameters
    ----------
    y : labels, for the attack; None for the model's own answers.
    attack : an object with `bind(model)`, to measure attacked images; None for clean ones.
    names : names of convolutions; None for all that a forward pass calls.
    n, seed : the first n of a seeded shuffle; None for all. margin_floor : as in `compute_alpha`.
    cache : a file to read this calibration from, if it holds it, and to write it to otherwise; a
        damaged or outdated file is replaced.
    device : where to compute; the model's device unless given.
    progress : called with the finished fraction. cancel : checked before every backward pass.

    Raises
    ------
    DataError, ModelError, PlanError : an argument cannot be used. Cancelled : on request.
    """
    if not margin_floor > 0:
        raise DataError(f"margin_floor is {margin_floor}; expected a number above 0.")
    images, labels = sample_images((x, y), n, seed)
    mine = frozen_copy(model, images)
    layers = convolutions_of(mine, names)
    settings = {
        "model": weights_digest(model),
        "attack": attack_key(attack),
        "n": len(images),
        "seed": seed,
        "margin_floor": margin_floor,
        "batch_size": batch_size,  # the attack's noise is seeded per batch
        "names": list(layers),
    }
    fingerprint = _fingerprint(mine, images, labels, settings)
    earlier = None if cache is None else _read_cache(cache, fingerprint)
    if earlier is not None:
        return earlier
    where = resolve_device(device, mine)
    mine = mine.to(where)
    images = as_images(mine, images)
    labels = None if labels is None else labels.to(where)
    sums: dict[str, list[Tensor]] = {}
    outputs: dict[str, float] = {}
    positions: dict[str, int] = {}
    for start in range(0, len(images), batch_size):
        stop_if(cancel)
        part = slice(start, start + batch_size)
        targets = None if labels is None else labels[part]
        batch = attack_images(mine, images[part], targets, attack, seed + start)
        gradients = margin_gradients(mine, batch, layers, margin_floor, cancel)
        for turn, activations in enumerate(gradients):
            for name, layer in activations.items():
                _add(sums, name, layer, inputs_too=turn == 0)
                if turn == 0:
                    outputs[name] = outputs.get(name, 0.0) + _energy(layer)
                positions[name] = layer.positions
        report(progress, (start + batch_size) / len(images))
    means = {
        n: _means(sums[n], len(images), positions[n], outputs[n] / len(images))
        for n in layers
        if n in sums
    }
    found = Calibration(means, len(images), settings, fingerprint)
    if cache is not None:
        found.save(cache)
    return found


def _add(
    sums: dict[str, list[Tensor]], name: str, layer: LayerActivations, *, inputs_too: bool
) -> None:
    """Adds one batch's moments to a layer's sums; inputs_too : also those of its inputs."""
    module = layer.module
    if name not in sums:
        area = module.kernel_size[0] * module.kernel_size[1]
        shapes = ((module.in_channels, area, area), *[(w, w) for w in _widths(module)])
        sums[name] = [to_float64(layer.inputs[0].new_zeros(shape)) for shape in shapes]
    patch, inputs, gradients = sums[name]
    if inputs_too:
        for x in layer.inputs:
            columns = to_float64(patches(module, x).permute(1, 2, 0, 3).flatten(2))  # (C, K², N·P)
            patch += columns @ columns.mT
            # The patches of a 1×1 kernel are its inputs, subsampled by the stride.
            pointwise = columns.shape[1] == 1
            channels = columns[:, 0] if pointwise else to_float64(x.transpose(0, 1).flatten(1))
            inputs += channels @ channels.T
    for g in (g for call in layer.gradients for g in call):
        rows = g.transpose(0, 1).flatten(1)  # (M, N·P)
        gradients += to_float64(rows @ rows.T) / layer.positions


def _widths(module: nn.Conv2d) -> tuple[int, int]:
    """Returns the numbers of input and output channels."""
    return module.in_channels, module.out_channels


def _energy(layer: LayerActivations) -> float:
    """Returns the squared norm of a layer's outputs in a batch, without the bias."""
    bias = layer.module.bias
    shift = 0.0 if bias is None else bias.detach()[:, None, None]
    return sum(float((to_single(out.detach()) - shift).square().sum()) for out in layer.outputs)


def _means(sums: list[Tensor], n: int, positions: int, output: float) -> Moments:
    """Returns the moments of sums over n images; those of inputs get the patches' trace."""
    patch, inputs, gradients = sums
    patch_trace = float(patch.diagonal(dim1=1, dim2=2).sum()) / n
    trace = float(inputs.trace())
    scale = patch_trace / trace if trace else 0.0
    return Moments(
        (patch / n).cpu(), (inputs * scale).cpu(), (gradients / n).cpu(), positions, output
    )


def _read_cache(path: str | os.PathLike[str], fingerprint: str) -> Calibration | None:
    """Returns the calibration of this fingerprint in a file, None where there is none."""
    if not Path(path).exists():
        return None
    try:
        found = Calibration.load(path)
    except DataError:
        return None  # damaged: computed again
    return found if found.fingerprint == fingerprint else None


def weights_digest(model: nn.Module) -> str:
    """Returns 16 hex digits of the weights of a model's convolutions and linear layers."""
    weighted = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
    named = ((f"{name}.{part}", t) for name, m in weighted for part, t in m._parameters.items())
    return Digest().tensors(named).hex[:16]


def attack_key(attack: object) -> str | None:
    """Returns a text that names an attack: its settings, or a unique one where it has none."""
    if attack is None:
        return None
    to_dict = getattr(attack, "to_dict", None)
    return (
        json.dumps(to_dict(), sort_keys=True) if callable(to_dict) else f"{attack!r} {uuid.uuid4()}"
    )


def _fingerprint(model: nn.Module, x: Tensor, y: Tensor | None, settings: Mapping[str, Any]) -> str:
    digest = Digest(json.dumps(settings, sort_keys=True)).state(model, all_buffers=False)
    return digest.tensors([("x", x), ("y", y)]).hex
