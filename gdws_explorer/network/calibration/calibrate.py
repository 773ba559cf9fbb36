"""What a few hundred images tell of every layer: moments of its inputs, weight of its outputs.

Ours (data-aware GDWS): an approximation's error is taken in the layer's output, by the second
moments of its input patches, and counts by how much the normalised margins (Dbouk & Shanbhag,
NeurIPS 2021, eq. 8) depend on that output; then the layers' errors are comparable and add up.
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
    Progress,
    attack_images,
    convolutions_of,
    differentiable,
    frozen_copy,
    margin_gradients,
    sample_images,
)
from gdws_explorer.network.plans.moments import Moments
from gdws_explorer.typing import Cancel
from gdws_explorer.utils import files
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import dtype_of, resolve_device, to_float64
from gdws_explorer.utils.hashing import Digest

SCHEMA = 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """The moments of a network's convolutions on some images.

    layers : by name. n : images seen. settings : what it was made with, JSON-ready.
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
        """What `weights_digest` says of the network it was made with."""
        settings = self.settings.get("inputs", self.settings)
        return str(settings["model"])

    @cached_property
    def weights(self) -> dict[str, float]:
        """What a squared error of each layer's output counts, > 0: sensitivity times positions.

        A margin moves by `Σ_p g_p · δ_p`, and `(Σ_p g_p · δ_p)² ≤ P Σ_p (g_p · δ_p)²`: errors of
        neighbours are alike, and an attack lines them up. Without the factor P layers of many
        positions are given too little, which costs robust accuracy (measured).
        """
        return {n: max(m.sensitivity * m.positions, 1e-30) for n, m in self.layers.items()}

    def weighed_by(self, other: Calibration) -> Calibration:
        """These inputs' moments with the gradients of another calibration of the same network."""
        layers = {
            name: replace(m, gradients=other[name].gradients, positions=other[name].positions)
            for name, m in self.layers.items()
        }
        settings = {"inputs": dict(self.settings), "gradients": dict(other.settings)}
        both = Digest(self.fingerprint + other.fingerprint).hex
        return Calibration(layers, self.n, settings, both)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, atomically."""
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
        """Read what `save` wrote. Raises DataError where the file is damaged or another's."""
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
    progress: Progress = None,
    cancel: Cancel = None,
) -> Calibration:
    """One pass over images `(N, C, H, W)`: moments and sensitivities of every convolution.

    Parameters
    ----------
    y : labels, for the attack; None for the model's own answers.
    attack : anything with `bind(model)`: moments and sensitivities of attacked images; None clean.
    names : the convolutions wanted; None for all that a pass calls.
    n, seed : the first n of a seeded shuffle; None for all. margin_floor : as in `alpha`.
    cache : a file that answers where it holds this very calibration, and is written otherwise; a
        damaged or an outdated one is replaced.
    device : where to compute; the model's device unless given.
    progress : called with the fraction done. cancel : looked at before every backward pass.

    Raises
    ------
    DataError, ModelError, PlanError : what was given cannot be used. Cancelled.
    """
    if not margin_floor > 0:
        raise DataError(f"margin_floor is {margin_floor}; expected a number above 0.")
    mine = frozen_copy(model)
    images, labels = sample_images((x, y), n, seed)
    layers = convolutions_of(mine, names)
    settings = {
        "model": weights_digest(mine),
        "attack": attack_key(attack),
        "n": len(images),
        "seed": seed,
        "margin_floor": margin_floor,
        "batch_size": batch_size,  # the attack's noise is seeded per batch
        "names": list(layers),
    }
    fingerprint = _fingerprint(mine, images, labels, settings)
    known = None if cache is None else _cached(cache, fingerprint)
    if known is not None:
        return known
    where = resolve_device(device, mine)
    mine, images = mine.to(where), images.to(dtype_of(mine)).to(where)
    labels = None if labels is None else labels.to(where)
    sums: dict[str, list[Tensor]] = {}
    outputs: dict[str, float] = {}
    positions: dict[str, int] = {}
    for start in range(0, len(images), batch_size):
        stop_if(cancel)
        part = slice(start, start + batch_size)
        own = None if labels is None else labels[part]
        batch = attack_images(mine, images[part], own, attack, seed + start)
        for turn, met in enumerate(margin_gradients(mine, batch, layers, margin_floor, cancel)):
            for name, seen in met.items():
                _add(sums, name, seen, inputs_too=turn == 0)
                if turn == 0:
                    outputs[name] = outputs.get(name, 0.0) + _energy(seen)
                positions[name] = seen.positions
        if progress is not None:
            progress(min(1.0, (start + batch_size) / len(images)))
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
    sums: dict[str, list[Tensor]], name: str, seen: LayerActivations, *, inputs_too: bool
) -> None:
    """Add one batch's moments to a layer's sums."""
    module = seen.module
    if name not in sums:
        area = module.kernel_size[0] * module.kernel_size[1]
        shapes = ((module.in_channels, area, area), *[(w, w) for w in _widths(module)])
        sums[name] = [to_float64(seen.inputs[0].new_zeros(shape)) for shape in shapes]
    patch, inputs, gradients = sums[name]
    if inputs_too:
        for x in seen.inputs:
            columns = to_float64(patches(module, x).permute(1, 2, 0, 3).flatten(2))  # (C, K², N·P)
            patch += columns @ columns.mT
            # Under a 1×1 kernel the patches are the inputs that it meets, its stride included.
            pointwise = columns.shape[1] == 1
            channels = columns[:, 0] if pointwise else to_float64(x.transpose(0, 1).flatten(1))
            inputs += channels @ channels.T
    for g in (g for call in seen.gradients for g in call):
        rows = g.transpose(0, 1).flatten(1)  # (M, N·P)
        gradients += to_float64(rows @ rows.T) / seen.positions


def _widths(module: nn.Conv2d) -> tuple[int, int]:
    return module.in_channels, module.out_channels


def _energy(seen: LayerActivations) -> float:
    """Squared norm of a layer's outputs in a batch, without the bias."""
    bias = seen.module.bias
    shift = 0.0 if bias is None else bias.detach()[:, None, None]
    return sum(float((out.detach() - shift).square().sum()) for out in seen.outputs)


def _means(sums: list[Tensor], n: int, positions: int, output: float) -> Moments:
    patch, inputs, gradients = sums
    wanted = float(patch.diagonal(dim1=1, dim2=2).sum()) / n
    trace = float(inputs.trace())
    scale = wanted / trace if trace else 0.0
    return Moments(
        (patch / n).cpu(), (inputs * scale).cpu(), (gradients / n).cpu(), positions, output
    )


def _cached(path: str | os.PathLike[str], fingerprint: str) -> Calibration | None:
    if not Path(path).exists():
        return None
    try:
        known = Calibration.load(path)
    except DataError:
        return None  # damaged: made again
    return known if known.fingerprint == fingerprint else None


def weights_digest(model: nn.Module) -> str:
    """16 hex digits of the weights of a model's convolutions and linear layers."""
    weighted = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
    named = ((f"{name}.{part}", t) for name, m in weighted for part, t in m._parameters.items())
    return Digest().tensors(named).hex[:16]


def attack_key(attack: object) -> str | None:
    """What names an attack: its settings, or for one that cannot say them, this very call."""
    if attack is None:
        return None
    told = getattr(attack, "to_dict", None)
    return json.dumps(told(), sort_keys=True) if callable(told) else f"{attack!r} {uuid.uuid4()}"


def _fingerprint(model: nn.Module, x: Tensor, y: Tensor | None, settings: Mapping[str, Any]) -> str:
    named = [*model.state_dict().items(), ("x", x), ("y", y)]
    return Digest(json.dumps(settings, sort_keys=True)).tensors(named).hex
