"""`gdws-explorer apply`: compresses a network by a plan and exports it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gdws_explorer.cli.inputs import read_model
from gdws_explorer.cli.output import costs_text
from gdws_explorer.cli.parser import add_command, add_model, add_runtime, add_weights


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    apply = add_command(
        subparsers,
        "apply",
        "compress a network by a plan and export it",
        "  gdws-explorer apply plan.json digits chosen/\n"
        "  gdws-explorer apply plan.json nets.py:resnet chosen/ --weights resnet.safetensors",
    )
    apply.add_argument("plan", metavar="PLAN", help="plan.json, made for exactly this network")
    add_model(apply, optional=False)
    apply.add_argument(
        "out", metavar="OUT", help="the folder to write: new, empty or an earlier export"
    )
    add_weights(apply)
    add_runtime(apply, default=None)
    apply.add_argument("--no-onnx", action="store_true", help="do not write model.onnx")


def run(options: argparse.Namespace) -> int:
    """Builds the compressed network, exports it, and prints files and costs."""
    import torch

    from gdws_explorer.bundle.export_folder import export
    from gdws_explorer.bundle.readme import forms_text
    from gdws_explorer.network.network import Network
    from gdws_explorer.network.plans.plan import Plan

    plan = Plan.load(options.plan)
    model, _ = read_model(options)
    network = Network(model, torch.zeros(1, *plan.input_shape))
    summary = network.summary(plan)
    # With these options, the name alone does not make the network again.
    needs_more = options.classes is not None or options.weights == "published"
    folder = export(
        network.build(plan),
        plan,
        options.out,
        summary=summary,
        onnx=not options.no_onnx,
        runtime=options.runtime,
        batch=options.batch,
        threads=options.threads,
        source=None if needs_more else options.model,
    )
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print(costs_text(summary))
    if not options.no_onnx:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        parity = report["onnx"]["parity"]["max_abs_difference"]
        print(f"ONNX Runtime differs from torch by at most {parity:.1e}")
        if options.runtime is not None:
            print(forms_text(report["onnx"]["fastest_forms"]))
    return 0
