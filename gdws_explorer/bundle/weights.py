"""Weights of a compressed network in a safetensors file, with checks against damage."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gdws_explorer.errors import ExplorerError, ModelError, PlanError
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.utils.devices import as_input
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.model_state import storable
from gdws_explorer.utils.modules import packed_weights
from gdws_explorer.utils.tensors import all_finite

SEED = 0
# Largest difference of logits, relative to the largest logit. Another processor's rounding stays
# below it, another stride or activation far above. The second is for 16-bit types.
TOLERANCE, TOLERANCE_HALF = 1e-4, 2e-2


def save(module: nn.Module, plan: Plan, path: Path) -> None:
    """Writes the state_dict, the plan's hash, and the network's logits for one fixed image."""
    tensors, others = _tensors(module)
    images = random_images(plan, 1)
    metadata = {
        "format": "pt",
        "written_by": "gdws-explorer",
        "fingerprint": plan.fingerprint,
        "plan": plan.hash,
        "weights": digest(tensors),
        "others": others,
        "probe": json.dumps(logits(module, images).flatten().tolist()),
    }
    save_file(tensors, path, metadata)


def load(network: nn.Module, plan: Plan, path: Path) -> None:
    """Loads the weights that `save` wrote into `network`, which has the plan's structure.

    Raises ExplorerError where the file is damaged, PlanError where it belongs to another plan,
    ModelError where the network is not the one that was exported.
    """
    tensors, others, metadata = _read(path)
    if metadata.get("plan") != plan.hash:
        raise PlanError(
            f"{path} belongs to plan {metadata.get('plan', 'unknown')}, plan.json is {plan.hash}; "
            "keep the files of one export together."
        )
    _check_fit(network, tensors, others, path)
    if metadata.get("weights") != digest(tensors):
        raise ExplorerError(f"{path} was changed after it was written; export the network again.")
    network.load_state_dict({**tensors, **others})
    _check_gathers(network, plan, path)
    _check_probe(network, plan, metadata, path)


def random_images(plan: Plan, n: int, seed: int = SEED) -> Tensor:
    """Returns images `(n, C, H, W)`, uniform in [0, 1]; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *plan.input_shape, generator=generator)


def logits(module: nn.Module, images: Tensor) -> Tensor:
    """Returns the scores of `images` `(N, …)`, on the CPU.

    Raises ModelError for anything but one finite tensor.
    """
    try:
        with torch.no_grad():
            scores = module(as_input(module, images))
    except Exception as error:
        raise ModelError(
            f"the network does not take images of shape {tuple(images.shape)}: {first_line(error)}"
        ) from error
    if not isinstance(scores, Tensor):
        raise ModelError(
            f"the network returns a {type(scores).__name__}; expected one tensor of logits."
        )
    if not all_finite(scores):
        raise ModelError("the network returns NaN or infinite values; repair its weights.")
    return scores.detach().cpu()


def max_abs_difference(first: Tensor, second: Tensor) -> float:
    """Returns the largest absolute difference of two tensors of one shape."""
    return float((first.double() - second.double()).abs().max())


def _tensors(module: nn.Module) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of the state_dict, and its other entries as JSON."""
    packed = packed_weights(module)
    if packed is not None:
        raise ModelError(
            f"{packed} holds packed quantised weights, which safetensors cannot hold; export the "
            "network before it is quantised, and quantise what gx.restore returns."
        )
    found, others = storable(module.state_dict())
    tensors = {}
    for name, value in found.items():
        if value.layout != torch.strided:
            raise ModelError(
                f"{name} is a tensor of layout {value.layout} that safetensors cannot hold; "
                "expected plain dense tensors."
            )
        # Every name gets its own clone: safetensors refuses shared and non-contiguous memory, and
        # a file with all names loads without a list of the tied ones.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors, others


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, str]]:
    """Returns the tensors, the other entries of the state_dict, and the metadata of a file."""
    if not path.is_file():
        raise ExplorerError(f"{path} is missing; export the network again.")
    try:
        with safe_open(path, framework="pt") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            others = json.loads(metadata.get("others", "{}"))  # older files have none
            return {name: file.get_tensor(name) for name in names}, others, metadata
    except (SafetensorError, OSError, ValueError) as error:
        raise ExplorerError(
            f"{path} is damaged ({first_line(error)}); export the network again."
        ) from error


def _check_fit(
    network: nn.Module, tensors: Mapping[str, Tensor], others: Mapping[str, Any], path: Path
) -> None:
    expected = network.state_dict()
    for name in sorted(expected.keys() ^ (tensors.keys() | others.keys())):
        lacks, has = ("file", "model") if name in expected else ("model", "file")
        raise ModelError(
            f"the {lacks} lacks {name}, which the {has} has ({path}); expected the network that "
            "was exported."
        )
    for name, tensor in tensors.items():
        own = expected[name]
        if not isinstance(own, Tensor):
            raise ModelError(
                f"{name} is a tensor in {path} and a {type(own).__name__} in the model; expected "
                "the network that was exported."
            )
        if own.shape != tensor.shape:
            raise ModelError(
                f"{name} has shape {tuple(tensor.shape)} in {path} and {tuple(own.shape)} in the "
                "model; expected the network that was exported."
            )
        if own.dtype != tensor.dtype:
            raise ModelError(
                f"{name} is {tensor.dtype} in {path} and {own.dtype} in the model; convert the "
                f"model first: model.to({tensor.dtype})."
            )


def _check_gathers(network: nn.Module, plan: Plan, path: Path) -> None:
    """Checks the channel indices of GDWS layers, which `load_state_dict` does not look at."""
    modules = dict(network.named_modules())
    for name, choice in plan:
        if not isinstance(choice, GDWS):
            continue
        module = modules[name]
        assert isinstance(module, GDWSConv2d)
        low, high = int(module.index.min()), int(module.index.max())
        if low < 0 or high >= module.in_channels:
            raise ExplorerError(
                f"{name}.index runs from {low} to {high} in {path}; expected 0 to "
                f"{module.in_channels - 1}: export the network again."
            )
        if choice.counts is not None and tuple(module.counts.tolist()) != choice.counts:
            raise PlanError(
                f"{name}.index in {path} differs from the plan; export the network again."
            )


def _check_probe(network: nn.Module, plan: Plan, metadata: Mapping[str, str], path: Path) -> None:
    """Compares the logits of one fixed image with those that `save` stored."""
    try:
        stored = torch.tensor(json.loads(metadata["probe"]), dtype=torch.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise ExplorerError(f"{path} is damaged (no probe); export the network again.") from error
    # Always on the CPU: a GPU may compute with a mantissa of ten bits.
    now = logits(copy.deepcopy(network).cpu().eval(), random_images(plan, 1)).flatten()
    tolerance = TOLERANCE_HALF if now.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
    largest = float(stored.abs().max())
    if now.shape != stored.shape or not max_abs_difference(now, stored) <= tolerance * largest:
        raise ModelError(
            "the restored network returns other logits than the exported one although its weights "
            "fit; give gx.restore the same architecture: strides, padding and activations too."
        )


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of tensors by name, type, shape and values, as 64 hex digits."""
    return Digest().tensors(sorted(tensors.items(), key=lambda item: item[0])).hex
