"""`gdws-explorer latency`: measures a network's milliseconds, and chooses a plan by them."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.inputs import read_data, read_model
from gdws_explorer.cli.output import costs_text, latency_text, progress_bar
from gdws_explorer.cli.parser import (
    add_command,
    add_data,
    add_json,
    add_model,
    add_runtime,
    add_weights,
    names,
)
from gdws_explorer.errors import DataError

if TYPE_CHECKING:
    from gdws_explorer.network.plans.cost import Summary


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    latency = add_command(
        subparsers,
        "latency",
        "measure a network's milliseconds on this machine, layer by layer",
        "  gdws-explorer latency digits\n"
        "  gdws-explorer latency digits --plan chosen/plan.json\n"
        "  gdws-explorer latency cifar:resnet18 --input 3,32,32 --ms 8 --save plan.json",
    )
    add_model(latency, optional=True)
    add_weights(latency)
    add_data(latency)
    latency.add_argument(
        "--input",
        metavar="C,H,W",
        help="the shape of one image, for a network without images (its times do not depend on "
        "what they show)",
    )
    add_runtime(latency, default="onnxruntime")
    latency.add_argument("--plan", metavar="plan.json", help="predict the milliseconds of a plan")
    latency.add_argument(
        "--ms",
        type=float,
        metavar="MS",
        help="choose the plan of least error within so many milliseconds of a batch",
    )
    latency.add_argument(
        "--families", type=names, metavar="A,B", help="those that --ms may choose (default all)"
    )
    latency.add_argument("--save", metavar="FILE", help="write the plan of --ms as plan.json")
    latency.add_argument(
        "--again", action="store_true", help="measure also where times are kept from an earlier run"
    )
    add_json(latency)
    latency.set_defaults(n=None, seed=0)


def run(options: argparse.Namespace) -> int:
    """Measures, and prints the times of the layers and of plans."""
    import torch

    from gdws_explorer.network.network import Network
    from gdws_explorer.network.plans.plan import Plan

    if options.save is not None and options.ms is None:
        raise DataError("--save writes the plan of --ms; give --ms too.")
    model, bench = read_model(options)
    if options.input is not None:
        example = torch.zeros(1, *_shape(options.input))
    elif bench is not None and options.data is None:
        example = bench.example
    else:
        example = read_data(options, bench)[0][:1]
    network = Network(model, example)
    with progress_bar("timing") as update:
        table = network.measure_latency(
            runtime=options.runtime,
            batch=options.batch,
            threads=options.threads,
            cache=True,
            again=options.again,
            progress=lambda done: update(done, ""),
        )
    plans = [] if options.plan is None else [Plan.load(options.plan)]
    if options.ms is not None:
        plans.append(network.budget(ms=options.ms, families=options.families))
    if options.save is not None:
        Path(options.save).write_text(plans[-1].to_json(), encoding="utf-8")
    summaries = [network.summary(plan) for plan in plans]
    if options.json:
        found = [
            {"hash": plan.hash, "words": str(plan), "ms": s.ms, "dense_ms": s.dense_ms,
             "macs": s.macs, "dense_macs": s.dense_macs}
            for plan, s in zip(plans, summaries, strict=True)
        ]  # fmt: skip
        print(json.dumps({"latencies": asdict(table), "plans": found}, indent=2))
        return 0
    print(latency_text(options.model, table))
    for plan, summary in zip(plans, summaries, strict=True):
        print(f"\n{plan}\n{_predicted(summary)}\n{costs_text(summary)}")
    return 0


def _predicted(summary: Summary) -> str:
    """Returns the predicted milliseconds of a plan in words."""
    if summary.ms is None or summary.dense_ms is None:
        return "time not known: it changes a layer that could not be timed in this runtime"
    share = summary.ms / summary.dense_ms
    return f"{summary.ms:.4g} ms, {share:.0%} of the dense network's, predicted"


def _shape(text: str) -> tuple[int, ...]:
    """Reads the shape of one image, such as "3,32,32". Raises DataError."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"--input is {text!r}; expected three whole numbers such as 3,32,32.")
    return shape
