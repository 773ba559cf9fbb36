"""Export of a compressed network and its plan into a folder, and back."""

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

from gdws_explorer.bundle import file_names, onnx_file, weights
from gdws_explorer.bundle.readme import readme
from gdws_explorer.errors import DataError, ExplorerError, PlanError
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.svd import SpatialSVDConv2d, SVDConv2d, SVDLinear
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.latency.fastest_forms import FastestForms, fastest_forms
from gdws_explorer.network.mac_counter import count_macs
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Choice, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.families import FACTORISED
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import apply_structure, densify
from gdws_explorer.robust.paired_difference import compare
from gdws_explorer.robust.report import Report
from gdws_explorer.utils import onnx_export
from gdws_explorer.utils.files import write_folder
from gdws_explorer.utils.modules import own_copy, set_requires_grad
from gdws_explorer.utils.provenance import library_versions, machine

SCHEMA = 1
BATCHES = (1, 3)  # batch sizes at which ONNX Runtime is compared with torch


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
    runtime: str | None = None,
    batch: int = 1,
    threads: int = 1,
    source: str | None = None,
) -> Path:
    """Writes plan.json, model.safetensors, model.onnx, report.json and README.md.

    The folder appears complete or not at all. A folder that exists must be empty or an earlier
    export, whose files are then replaced. Before the folder appears, the network is loaded from
    it and compared with `model`.

    Parameters
    ----------
    model : the network that `net.build(plan)` returned, fine-tuned or not; or the dense network
        that the plan was made for, which is then compressed. It is not changed.
    plan : the choices of its layers.
    folder : the target, `~` allowed; missing parents are made.
    example : images `(N, C, H, W)` in [0, 1], compared in addition to random ones.
    report, summary : the measured accuracy and the costs, for report.json and README.md.
    dense : the report of the dense network on the same images, for a paired comparison.
    onnx : whether to write model.onnx; needs the packages of `gdws-explorer[onnx]`.
    runtime : "onnxruntime" writes model.onnx in the fastest of the forms with equal outputs, layer
        by layer, by measuring on this machine; report.json says which and how fast. None writes
        the layers as they are.
    batch, threads : of these measurements.
    source : how README.md makes the dense network again: a bench's name, "module:factory" or
        "file.py:factory", as on the command line; by default, the network's class.

    Returns
    -------
    The folder.

    Raises
    ------
    PlanError : the plan was made for another network. ModelError : the network cannot be exported.
    DataError : the runtime is unknown.
    ExplorerError : the folder cannot be written, a package is missing, or ONNX Runtime's logits
        differ from torch's.
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"the plan is a {type(plan).__name__}; expected a gx.Plan.")
    _check_summary(summary, plan)
    _check_runtime(runtime, onnx)
    if onnx:
        onnx_export.require()
    batches = [weights.random_images(plan, n, seed=n) for n in BATCHES]
    batches = [*_example(example, plan), *batches]
    with write_folder(folder, file_names.EXPORTED, file_names.is_export) as temporary:
        module = _compressed(model, plan, batches[0])
        (temporary / file_names.PLAN).write_text(plan.to_json(), encoding="utf-8")
        weights.save(module, plan, temporary / file_names.WEIGHTS)
        facts = _facts(module, plan, summary, report, dense)
        facts["restored"] = _restored(temporary, module, batches[0])
        facts["onnx"] = _NO_ONNX
        if onnx:
            forms = None
            if runtime is not None:
                forms = fastest_forms(module, batches[0][:1], batch=batch, threads=threads)
            facts["onnx"] = _onnx(module, forms, batches, temporary / file_names.ONNX)
        facts["files"] = {path.name: _file(path) for path in sorted(temporary.iterdir())}
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (temporary / file_names.REPORT).write_text(text + "\n", encoding="utf-8")
        text = readme(facts, plan, densify(module), Path(folder), report, summary, source)
        (temporary / file_names.README).write_text(text, encoding="utf-8")
        for path in temporary.iterdir():  # safetensors makes its file private
            shutil.copymode(temporary / file_names.PLAN, path)
    return Path(folder)


def restore(folder: str | os.PathLike[str], model: nn.Module) -> nn.Module:
    """Loads the network that `export` wrote.

    Nothing is unpickled.

    Parameters
    ----------
    folder : an exported folder.
    model : the original, dense architecture, as it was before compression. Its weights do not
        matter, and it is not changed.

    Returns
    -------
    The compressed network, in eval mode, on the device of `model`.

    Raises
    ------
    PlanError, ExplorerError : a file is damaged or missing. ModelError : `model` is not the
        exported architecture.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ExplorerError(f"{path} is not a folder; expected one that gx.export wrote.")
    plan = Plan.load(path / file_names.PLAN)
    network = apply_structure(own_copy(model), plan).eval()
    weights.load(network, plan, path / file_names.WEIGHTS)
    return set_requires_grad(network, True)


# -- the network ---------------------------------------------------------------------------


def _compressed(model: nn.Module, plan: Plan, images: Tensor) -> nn.Module:
    """A copy on the CPU, in eval mode, with the plan's layers; built where it is still dense."""
    copied = own_copy(model).cpu()
    mismatch = _mismatch(copied, plan)
    if mismatch is None:
        return copied
    if any(isinstance(module, FACTORISED) for module in copied.modules()):
        raise PlanError(f"{mismatch}; export the network together with the plan it was built from.")
    return Network(copied, images).build(plan).requires_grad_(False)


def _mismatch(module: nn.Module, plan: Plan) -> str | None:
    """The first difference between the network and the plan, in words; None without one."""
    modules = dict(module.named_modules())
    for name, choice in plan:
        if name not in modules:
            return f"the network has no layer {name!r} of the plan"
        actual = _choice(modules[name], choice)
        if actual != choice:
            return f"{name} is {actual}, the plan says {choice}"
    return None


def _choice(module: nn.Module, expected: Choice) -> Choice:
    """The choice that a layer corresponds to."""
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
        given = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"the example is {given}; expected a batch (N, {_shape(plan)}).")
    return [example[:8].detach().cpu().contiguous()]


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
        "versions": {**library_versions(), **_export_versions()},
        "machine": machine(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _against(dense: Report | None, report: Report | None) -> dict[str, Any] | None:
    """The paired differences to the dense network, measured on the same images."""
    if dense is None or report is None:
        return None
    differences = {}
    for metric in ("clean", "robust"):
        if getattr(report, f"{metric}_mask") is not None:
            pair = compare(dense, report, metric)
            differences[metric] = {
                "difference": pair.difference, "interval": list(pair.interval), "p": pair.p,
                "only_dense": pair.only_first, "only_this": pair.only_second, "n": pair.n,
                "words": str(pair),
            }  # fmt: skip
    return differences


def _accuracy(report: Report | None) -> dict[str, Any] | None:
    if report is None:
        return None
    measured = report.to_dict()
    del measured["clean_mask"], measured["robust_mask"]
    label = None if report.attack is None else report.attack.label
    return {**measured, "attack_label": label}


def _restored(folder: Path, module: nn.Module, images: Tensor) -> dict[str, float]:
    """Loads the written network as the user will, and compares its logits."""
    restored = restore(folder, densify(module))
    difference = weights.max_abs_difference(
        weights.logits(restored, images), weights.logits(module, images)
    )
    return {"max_abs_difference": difference}


def _check_runtime(runtime: str | None, onnx: bool) -> None:
    if runtime not in (None, "onnxruntime"):
        raise DataError(f"unknown runtime {runtime!r}; expected 'onnxruntime' or None.")
    if runtime and not onnx:
        raise DataError("runtime='onnxruntime' needs the ONNX file: leave onnx=False out.")


def _onnx(
    module: nn.Module, forms: FastestForms | None, batches: list[Tensor], path: Path
) -> dict[str, Any]:
    parity = onnx_file.write(module if forms is None else forms.model, batches, path, like=module)
    fast = {} if forms is None else {"fastest_forms": _forms(module, forms, batches[0][:1])}
    return {
        **fast,
        "written": True,
        "opset": onnx_file.opset(path),
        "input": onnx_export.INPUT,
        "output": onnx_export.OUTPUT,
        "parity": parity.to_dict(),
    }


def _forms(module: nn.Module, forms: FastestForms, example: Tensor) -> dict[str, Any]:
    """The form of every layer, the measured times, and the MACs with and without padding."""
    return {
        "layers": {
            name: {"form": each.form, "ms": dict(each.ms)} for name, each in forms.layers.items()
        },
        "ms": forms.ms,
        "spread": list(forms.spread),
        "as_built_ms": forms.as_built_ms,
        "dense_ms": forms.dense_ms,
        "batch": forms.batch,
        "threads": forms.threads,
        "processor_share": forms.processor_share,
        "macs_needed": count_macs(module, example),
        "macs_executed": count_macs(forms.model, example),
        "params_executed": sum(p.numel() for p in forms.model.parameters()),
    }


def _file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _export_versions() -> dict[str, str]:
    versions = {}
    for name in ("safetensors", *onnx_export.NEEDED):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _check_summary(summary: Summary | None, plan: Plan) -> None:
    if summary is None:
        return
    if {name: layer.choice for name, layer in summary.layers.items()} != dict(plan.layers):
        raise PlanError("the summary belongs to another plan; give net.summary(plan) of this one.")


def _shape(plan: Plan) -> str:
    return ", ".join(map(str, plan.input_shape))
