"""Text of the README.md in an exported folder: plan, costs, accuracy, how to load it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from gdws_explorer.bundle import file_names
from gdws_explorer.network.plans.choices import Dense
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.report import Report
from gdws_explorer.utils.format import with_interval

Interval = tuple[float, float]


def readme(
    facts: Mapping[str, Any],
    plan: Plan,
    dense: nn.Module,
    folder: Path,
    report: Report | None,
    summary: Summary | None,
    source: str | None,
) -> str:
    """Returns the text of README.md.

    facts : the content of report.json. dense : the network with dense layers. folder : as the
    user wrote it. source : as in `export`.
    """
    shape = "×".join(map(str, plan.input_shape))
    replaced = any(choice != Dense() for _, choice in plan)
    parts = [
        f"# {type(dense).__name__}, compressed with GDWS Explorer",
        f"A convolutional network{' with low-rank layers' if replaced else ''}. It "
        "takes images "
        f"`(N, {shape.replace('×', ', ')})` ({facts['dtype']}, values in [0, 1]) and returns "
        f"logits, one row per image. Plan `{plan.hash}`, written {facts['created']}.",
        "## The plan",
        _plan(plan, summary),
        _costs(facts["costs"]),
        "## Measured accuracy",
        _accuracy(report),
        _against(facts["against_dense"]),
        "## Load it again",
        _load(dense, folder, source),
        _load_onnx(facts, folder),
        "## Files",
        _files(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _plan(plan: Plan, summary: Summary | None) -> str:
    if summary is None:
        changed = [f"- `{name}`: {choice}" for name, choice in plan if choice != Dense()]
        rest = len(plan) - len(changed)
        if not changed:
            return "All layers are dense: nothing was compressed."
        return "\n".join([*changed, f"- {_number(rest, 'other layer')} dense"] if rest else changed)
    rows = [
        f"| `{name}` | {layer.choice} | {layer.dense_macs:,} | {layer.macs:,} | "
        f"{layer.dense_params:,} | {layer.params:,} | {layer.error / (layer.energy or 1):.3g} |"
        for name, layer in summary.layers.items()
    ]
    head = "| layer | choice | MACs dense | MACs | parameters dense | parameters | error |"
    words = "MACs: multiply-accumulates for one image (FLOPs are twice that). Error: squared error "
    if plan.calibration is None:
        words += "of the kernel relative to its squared norm."
    elif plan.refitted:
        words += (
            "of the kernel relative to its squared norm, before the last factors were refitted on "
            f"images (`{plan.calibration}`): `plan.json` alone does not make this network again, "
            "its weights are in `model.safetensors`."
        )
    elif plan.trained:
        words += (
            "of the trained kernel relative to its squared norm, zero where it was trained at "
            f"these ranks (`{plan.calibration}`): `plan.json` alone does not make this network "
            "again, its weights are in `model.safetensors`."
        )
    else:
        words += (
            "of the layer's output on the calibration images, relative to its squared norm. The "
            f"factors were computed from these images too (calibration `{plan.calibration}`): "
            "`plan.json` alone does not make this network again, its weights are in "
            "`model.safetensors`."
        )
    return "\n".join([head, "|---|---|--:|--:|--:|--:|--:|", *rows, "", words])


def _costs(costs: Mapping[str, Any]) -> str:
    if "macs" not in costs:
        return f"{costs['params']:,} parameters, {costs['bytes']:,} bytes in memory."
    words = [
        f"{costs[name]:,} {word} ({costs[name] / costs[f'dense_{name}']:.1%} of the dense network)"
        for name, word in (("macs", "MACs"), ("params", "parameters"), ("bytes", "bytes"))
    ]
    return f"In total {', '.join(words)}."


def _accuracy(report: Report | None) -> str:
    if report is None:
        return (
            "None was measured: clean and robust accuracy of this network are unknown. Measure "
            "them with `gx.evaluate` before you rely on it."
        )
    rows = [f"| clean | {_share(report.clean, report.clean_interval)} | {report.n} |"]
    notes = [f"Images and noise: seed {report.seed}."]
    if report.attack is not None and report.robust is not None and report.robust_interval:
        share = _share(report.robust, report.robust_interval)
        rows.append(f"| under {report.attack.label} | {share} | {report.n} |")
        if report.attack.details:
            notes.append(f"Attack: {report.attack.details}.")
        notes.append(
            "An attack finds some of the adversarial examples, not all: the true robust accuracy "
            "may be lower, and other attacks were not tried."
        )
    else:
        notes.append("No attack was tried: the robust accuracy is unknown.")
    if report.note is not None:
        notes.append(f"Note: {report.note}.")
    head = ["| images | accuracy (95 % interval) | n |", "|---|---|--:|"]
    return "\n".join([*head, *rows, "", " ".join(notes)])


def _against(pairs: Mapping[str, Any] | None) -> str:
    """The paired differences to the dense network."""
    if not pairs:
        return ""
    rows = [f"- {metric}: {pair['words']}" for metric, pair in pairs.items()]
    head = (
        "Against the dense network on the same images (difference with its 95 % interval, images "
        "that only the dense and only this network classifies correctly, McNemar's exact p):"
    )
    return "\n".join([head, "", *rows])


def _load(dense: nn.Module, folder: Path, source: str | None) -> str:
    imports, call, note = _source(dense, source)
    lines = ["import gdws_explorer as gx", imports, f"model = gx.restore({_text(folder)}, {call})"]
    return (
        "As a torch module, from the folder where it was exported (or with the path to this "
        "folder):\n\n```python\n" + "\n".join(lines) + "\n```\n\n" + note
    ).strip()


def _load_onnx(facts: Mapping[str, Any], folder: Path) -> str:
    onnx = facts["onnx"]
    if not onnx["written"]:
        return f"There is no ONNX file: {onnx['why']}."
    shape = ", ".join(map(str, facts["input_shape"]))
    lines = [
        "import numpy as np, onnxruntime",
        f"session = onnxruntime.InferenceSession({_text(folder / file_names.ONNX)})",
        f'logits = session.run(["{onnx["output"]}"], {{"{onnx["input"]}": '
        f"np.zeros((1, {shape}), np.{facts['dtype']})}})[0]",
    ]
    parity = onnx["parity"]
    return (
        "With ONNX Runtime, here on one black image (any number of images at once):\n\n```python\n"
        + "\n".join(lines)
        + "\n```\n\n"
        + f"Its logits differ from torch's by at most {parity['max_abs_difference']:.1e} "
        f"(largest logit {parity['largest_logit']:.3g}; batches of "
        f"{', '.join(map(str, parity['batches']))})."
        + (f"\n\n{forms_text(onnx['fastest_forms'])}" if "fastest_forms" in onnx else "")
    )


def forms_text(facts: Mapping[str, Any]) -> str:
    """Returns the fastest forms of report.json in words: what they are, and the measured times."""
    forms = Counter(each["form"] for each in facts["layers"].values())
    named = ", ".join(f"{n} × {form}" for form, n in forms.items())
    low, high = facts["spread"]
    return (
        f"The file holds every factorised layer in the form that was fastest here ({named}); "
        "the outputs of the forms are equal. ONNX Runtime on the CPU, measured where it was "
        f"exported, batch {facts['batch']}, {facts['threads']} thread(s): {facts['ms']:.3g} ms "
        f"(quartiles {low:.3g} to {high:.3g}); with the layers as built {facts['as_built_ms']:.3g} "
        f"ms, the dense network {facts['dense_ms']:.3g} ms. It computes "
        f"{facts['macs_executed']:,} MACs per image, {facts['macs_needed']:,} of them needed: the "
        "others are weights of zero, and kernels that were rebuilt because they are faster."
    )


def _files(facts: Mapping[str, Any]) -> str:
    content = {
        file_names.PLAN: "the choice of every layer, with a checksum",
        file_names.WEIGHTS: "the compressed network's weights; no pickle",
        file_names.ONNX: "the compressed network, weights included",
        file_names.ONNX_WEIGHTS: "weights of model.onnx, to be kept in the same folder",
    }
    if file_names.ONNX_WEIGHTS in facts["files"]:
        content[file_names.ONNX] = "the compressed network; its weights are in model.onnx.data"
    rows = [
        f"- `{name}`: {content[name]} ({file['bytes']:,} bytes)"
        for name, file in facts["files"].items()
    ]
    rows.append(f"- `{file_names.REPORT}`: costs, accuracy, comparisons, versions, checksums")
    return "\n".join(rows)


def _source(dense: nn.Module, source: str | None) -> tuple[str, str, str]:
    """Code that makes the dense network again: an import, an expression, and a note."""
    if source is not None and source.startswith(("cifar:", "torchvision:", "timm:")):
        return f'dense = gx.load_model("{source}")', "dense", ""
    if source is not None and ":" not in source:
        return f'dense = gx.load("{source}").model', "dense", ""
    if source is not None:
        module, _, factory = source.rpartition(":")
        if module.endswith(".py"):
            lines = f"from runpy import run_path; dense = run_path({_text(Path(module))})"
            return f'{lines}["{factory}"]()', "dense", ""
        first, *rest = factory.split(".")
        return f"from {module} import {first}", ".".join([first, *rest]) + "()", ""
    kind = type(dense)
    note = (
        "The second argument is the dense network, as it was before compression; its weights do "
        "not matter. If it was made with arguments, give the same."
    )
    name = kind.__qualname__
    if kind.__module__ == "__main__" or "<locals>" in name:
        return f"# run the code that defines {kind.__name__} first", f"{kind.__name__}()", note
    return f"from {kind.__module__} import {name.split('.')[0]}", f"{name}()", note


def _share(share: float, interval: Interval) -> str:
    return with_interval(share, interval)


def _text(path: Path) -> str:
    """A Python string literal of the path that is valid on every system."""
    return repr(path.as_posix()).replace("'", '"') if "'" not in str(path) else repr(str(path))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
