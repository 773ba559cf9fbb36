"""A plan and its network become a folder that says what it is and loads again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gdws_explorer.bundle import folder as folders
from gdws_explorer.bundle import onnx_file as onnx_file
from gdws_explorer.bundle import weights
from gdws_explorer.bundle.readme import readme
from gdws_explorer.errors import DataError, ExplorerError, PlanError
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d, SVDLinear
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Choice, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.families import FACTORISED
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import apply_structure, densify
from gdws_explorer.robust.paired_difference import compare
from gdws_explorer.robust.report import Report
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.provenance import library_versions, machine

SCHEMA = 1
BATCHES = (1, 3)  # images in the comparisons of ONNX with torch


def export(
    model: nn.Module,
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    example: Tensor | None = None,
    report: Report | None = None,
    dense: Report | None = None,
    summary: Summary | None = None,
    onnx: bool = True,
    source: str | None = None,
) -> Path:
    """Write plan.json, model.safetensors, model.onnx, report.json and README.md.

    The folder appears complete or not at all. Where it exists it must be empty or an earlier
    export, of which our files are replaced. What was written is loaded again and compared with
    `model` before the folder appears.

    Parameters
    ----------
    model : what `net.build(plan)` made, fine-tuned or not; or the dense network that the plan
        was made for, which is then compressed. It is not changed.
    plan : what its layers are.
    folder : where to, `~` allowed; missing parents are made.
    example : images `(N, C, H, W)` in [0, 1], compared too, beside random ones.
    report, summary : what was measured and what it costs, for report.json and README.md.
    dense : what was measured of the dense network on the same images, to compare image by image.
    onnx : whether to write model.onnx; needs the packages of `gdws-explorer[onnx]`.
    source : how README.md makes the dense network again: a bench's name, "module:factory" or
        "file.py:factory", as on the command line; by default, the network's class.

    Returns
    -------
    The folder.

    Raises
    ------
    PlanError : the plan is not this network's. ModelError : the network cannot be exported.
    ExplorerError : the folder cannot be written, a package is missing, or ONNX disagrees.
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"the plan is a {type(plan).__name__}; expected a gx.Plan.")
    _check_summary(summary, plan)
    if onnx:
        onnx_file.require()
    batches = [weights.random_images(plan, n, seed=n) for n in BATCHES]
    batches = [*_example(example, plan), *batches]
    with folders.write_folder(folder) as place:
        module = _compressed(model, plan, batches[0])
        (place / folders.PLAN).write_text(plan.to_json(), encoding="utf-8")
        weights.save(module, plan, place / folders.WEIGHTS)
        facts = _facts(module, plan, summary, report, dense)
        facts["restored"] = _restored(place, module, batches[0])
        facts["onnx"] = _onnx(module, batches, place / folders.ONNX) if onnx else _NO_ONNX
        facts["files"] = {path.name: _file(path) for path in sorted(place.iterdir())}
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (place / folders.REPORT).write_text(text + "\n", encoding="utf-8")
        words = readme(facts, plan, densify(module), Path(folder), report, summary, source)
        (place / folders.README).write_text(words, encoding="utf-8")
        for path in place.iterdir():  # safetensors makes its file private
            shutil.copymode(place / folders.PLAN, path)
    return Path(folder)


def restore(folder: str | os.PathLike[str], model: nn.Module) -> nn.Module:
    """The network that `export` wrote, in eval mode, on the device of `model`.

    model : the original, dense architecture, as it was before compression; its weights do not
    matter, and it is not changed. Nothing is unpickled.

    Raises PlanError or ExplorerError where a file is damaged or missing, ModelError where
    `model` is not the exported architecture.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ExplorerError(f"{place} is not a folder; expected one that gx.export wrote.")
    plan = Plan.load(place / folders.PLAN)
    network = apply_structure(own_copy(model), plan).eval()
    weights.load(network, plan, place / folders.WEIGHTS)
    return network.requires_grad_(True)


# -- the network ---------------------------------------------------------------------------


def _compressed(model: nn.Module, plan: Plan, images: Tensor) -> nn.Module:
    """A copy on the CPU, in eval mode, that is what the plan says; built if it still is dense."""
    mine = own_copy(model).cpu()
    odd = _mismatch(mine, plan)
    if odd is None:
        return mine
    if any(isinstance(module, FACTORISED) for module in mine.modules()):
        raise PlanError(f"{odd}; export the network together with the plan it was built from.")
    return Network(mine, images).build(plan).requires_grad_(False)


def _mismatch(module: nn.Module, plan: Plan) -> str | None:
    """Where the network is not what the plan says, in words."""
    modules = dict(module.named_modules())
    for name, choice in plan:
        if name not in modules:
            return f"the network has no layer {name!r} of the plan"
        is_now = _choice(modules[name], choice)
        if is_now != choice:
            return f"{name} is {is_now}, the plan says {choice}"
    return None


def _choice(module: nn.Module, expected: Choice) -> Choice:
    """What a layer is, in the plan's words."""
    if isinstance(module, Tucker2Conv2d):
        r_out, r_in = module.core.weight.shape[:2]
        return Tucker2(r_out, r_in)
    if isinstance(module, GDWSConv2d):
        counts = getattr(expected, "counts", None)
        return GDWS(len(module.index), counts and tuple(module.counts.tolist()))
    if isinstance(module, SpatialSVDConv2d):
        return SpatialSVD(module.first.out_channels)
    if isinstance(module, SVDConv2d):
        return SVD(module.last.in_channels // module.last.groups)
    if isinstance(module, SVDLinear):
        return SVD(module.first.out_features)
    return Dense()


def _example(example: Tensor | None, plan: Plan) -> list[Tensor]:
    if example is None:
        return []
    if not isinstance(example, Tensor) or tuple(example.shape[1:]) != plan.input_shape:
        what = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"the example is {what}; expected a batch (N, {_commas(plan)}).")
    return [example[:8].detach().cpu()]


# -- the report ----------------------------------------------------------------------------

_NO_ONNX: dict[str, Any] = {"written": False, "why": "exported with onnx=False"}


def _facts(
    module: nn.Module,
    plan: Plan,
    summary: Summary | None,
    report: Report | None,
    dense: Report | None,
) -> dict[str, Any]:
    sizes = [*module.parameters(), *module.buffers()]
    costs: dict[str, Any] = {
        "params": sum(p.numel() for p in module.parameters()),
        "bytes": sum(t.numel() * t.element_size() for t in sizes),
    }
    if summary is not None:
        names = ("macs", "error", "relative_error", "dense_macs", "dense_params", "dense_bytes")
        costs.update({name: getattr(summary, name) for name in names})
    return {
        "schema": SCHEMA,
        "plan": {"hash": plan.hash, "words": str(plan), "fingerprint": plan.fingerprint},
        "input_shape": list(plan.input_shape),
        "dtype": str(next(module.parameters()).dtype).removeprefix("torch."),
        "costs": costs,
        "accuracy": _accuracy(report),
        "against_dense": _against(dense, report),
        "versions": {**library_versions(), **_more_versions()},
        "machine": machine(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _against(dense: Report | None, report: Report | None) -> dict[str, Any] | None:
    """The paired differences to the dense network, where both were measured on the same images."""
    if dense is None or report is None:
        return None
    found = {}
    for metric in ("clean", "robust"):
        if getattr(report, f"{metric}_mask") is not None:
            pair = compare(dense, report, metric)
            found[metric] = {
                "difference": pair.difference, "interval": list(pair.interval), "p": pair.p,
                "only_dense": pair.only_first, "only_this": pair.only_second, "n": pair.n,
                "words": str(pair),
            }  # fmt: skip
    return found


def _accuracy(report: Report | None) -> dict[str, Any] | None:
    if report is None:
        return None
    measured = report.to_dict()
    del measured["clean_mask"], measured["robust_mask"]
    label = None if report.attack is None else report.attack.label
    return {**measured, "attack_label": label}


def _restored(place: Path, module: nn.Module, images: Tensor) -> dict[str, float]:
    """Load what was written, as the user will, and compare."""
    again = restore(place, densify(module))
    images = images.to(next(module.parameters()).dtype)
    found = weights.difference(weights.logits(again, images), weights.logits(module, images))
    return {"max_abs_difference": found}


def _onnx(module: nn.Module, batches: list[Tensor], path: Path) -> dict[str, Any]:
    parity = onnx_file.write(module, batches, path)
    return {
        "written": True,
        "opset": onnx_file.opset(path),
        "input": onnx_file.INPUT,
        "output": onnx_file.OUTPUT,
        "parity": parity.to_dict(),
    }


def _file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _more_versions() -> dict[str, str]:
    found = {}
    for name in ("safetensors", *onnx_file.NEEDED):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _check_summary(summary: Summary | None, plan: Plan) -> None:
    if summary is None:
        return
    if {name: layer.choice for name, layer in summary.layers.items()} != dict(plan.layers):
        raise PlanError("the summary is another plan's; give net.summary(plan) of this one.")


def _commas(plan: Plan) -> str:
    return ", ".join(map(str, plan.input_shape))
