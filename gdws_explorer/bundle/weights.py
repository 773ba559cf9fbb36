"""A network's weights as a safetensors file that notices when it is damaged; never a pickle."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gdws_explorer.errors import ExplorerError, ModelError, PlanError
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.utils.hashing import Digest

SEED = 0
# Share of the largest logit: another processor rounds less, another stride or activation errs more.
SAME, SAME_HALF = 1e-4, 2e-2


def save(module: nn.Module, plan: Plan, path: Path) -> None:
    """Write the state_dict, the plan's hash, and what the network answers to one image."""
    tensors = _tensors(module)
    images = random_images(plan, 1)
    metadata = {
        "format": "pt",
        "written_by": "gdws-explorer",
        "fingerprint": plan.fingerprint,
        "plan": plan.hash,
        "weights": _digest(tensors),
        "probe": json.dumps(logits(module, images).flatten().tolist()),
    }
    save_file(tensors, path, metadata)


def load(network: nn.Module, plan: Plan, path: Path) -> None:
    """Fill `network`, which has the plan's structure, with the weights that `save` wrote.

    Raises ExplorerError where the file is damaged or another plan's, ModelError where the
    network is not the one that was exported.
    """
    tensors, metadata = _read(path)
    if metadata.get("plan") != plan.hash:
        raise PlanError(
            f"{path} belongs to plan {metadata.get('plan', 'unknown')}, plan.json is {plan.hash}; "
            "keep the files of one export together."
        )
    _check_fit(network, tensors, path)
    if metadata.get("weights") != _digest(tensors):
        raise ExplorerError(f"{path} was changed after it was written; export the network again.")
    network.load_state_dict(tensors)
    _check_gathers(network, plan, path)
    _check_probe(network, plan, metadata, path)


def random_images(plan: Plan, n: int, seed: int = SEED) -> Tensor:
    """`(n, C, H, W)` uniform in [0, 1], always the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *plan.input_shape, generator=generator)


def logits(module: nn.Module, images: Tensor) -> Tensor:
    """What `module` answers to `images`, on the CPU; ModelError for anything but one tensor."""
    place = next((t for t in module.state_dict().values() if t.is_floating_point()), images)
    try:
        with torch.no_grad():
            answer = module(images.to(place.device, place.dtype))
    except Exception as error:
        raise ModelError(
            f"the network does not take images of shape {tuple(images.shape)}: {reason(error)}"
        ) from error
    if not isinstance(answer, Tensor):
        raise ModelError(
            f"the network answers with a {type(answer).__name__}; expected one tensor of logits."
        )
    if not bool(torch.isfinite(answer).all()):
        raise ModelError("the network answers with NaN or infinite values; repair its weights.")
    return answer.detach().cpu()


def difference(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference."""
    return float((one.double() - other.double()).abs().max())


def reason(error: BaseException) -> str:
    """The first line of an error that somebody else raised."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    tensors = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
            kind = type(value).__name__ if not isinstance(value, Tensor) else "tensor"
            raise ModelError(
                f"{name} is a {kind} that safetensors cannot hold; expected plain dense tensors."
            )
        # A clone each: safetensors refuses memory that is shared or not contiguous, and a file
        # with every name in it loads without knowing which were tied.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise ExplorerError(f"{path} is missing; export the network again.")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ExplorerError(
            f"{path} is damaged ({reason(error)}); export the network again."
        ) from error


def _check_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    for name in sorted(wanted.keys() ^ tensors.keys()):
        lacks, has = ("file", "model") if name in wanted else ("model", "file")
        raise ModelError(
            f"the {lacks} lacks {name}, which the {has} has ({path}); expected the network that "
            "was exported."
        )
    for name, tensor in tensors.items():
        mine = wanted[name]
        if mine.shape != tensor.shape:
            raise ModelError(
                f"{name} has shape {tuple(tensor.shape)} in {path} and {tuple(mine.shape)} in the "
                "model; expected the network that was exported."
            )
        if mine.dtype != tensor.dtype:
            raise ModelError(
                f"{name} is {tensor.dtype} in {path} and {mine.dtype} in the model; convert the "
                f"model first: model.to({tensor.dtype})."
            )


def _check_gathers(network: nn.Module, plan: Plan, path: Path) -> None:
    """An index out of range would only be met in the first forward pass, or not at all."""
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
            raise PlanError(f"{name}.index in {path} is not the plan's; export the network again.")


def _check_probe(network: nn.Module, plan: Plan, metadata: Mapping[str, str], path: Path) -> None:
    try:
        then = torch.tensor(json.loads(metadata["probe"]), dtype=torch.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise ExplorerError(f"{path} is damaged (no probe); export the network again.") from error
    # Always on the CPU: a GPU may compute with ten bits.
    now = logits(copy.deepcopy(network).cpu().eval(), random_images(plan, 1)).flatten()
    same = SAME_HALF if now.dtype in (torch.float16, torch.bfloat16) else SAME
    if now.shape != then.shape or not difference(now, then) <= same * float(then.abs().max()):
        raise ModelError(
            "the restored network answers otherwise than the exported one although its weights "
            "fit; give gx.restore the same architecture: strides, padding and activations too."
        )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    return Digest().tensors(sorted(tensors.items(), key=lambda item: item[0])).hex
