"""`gdws-explorer evaluate`: measures a network's clean and robust accuracy."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gdws_explorer.cli.inputs import make_attack, read_data, read_model
from gdws_explorer.cli.output import evaluation_json, evaluation_text, progress_bar
from gdws_explorer.cli.parser import (
    add_attack,
    add_command,
    add_data,
    add_json,
    add_model,
    add_weights,
)


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    evaluate = add_command(
        subparsers,
        "evaluate",
        "measure a network's accuracy, clean and under attack",
        "  gdws-explorer evaluate\n"
        "  gdws-explorer evaluate digits --plan chosen/plan.json --eps 0.1 --n 200\n"
        "  gdws-explorer evaluate nets.py:resnet --weights resnet.safetensors \\\n"
        "      --data cifar10.npz --attack pgd --eps 8/255 --steps 50 --json\n"
        "  gdws-explorer evaluate cifar:resnet18 --weights best.pt --data cifar10 --n 1000 \\\n"
        "      --attack standard --device cuda --resume run.json",
    )
    add_model(evaluate, optional=True)
    add_weights(evaluate)
    add_data(evaluate)
    evaluate.add_argument(
        "--plan", metavar="plan.json", help="compress the network by this plan first"
    )
    add_attack(evaluate)
    evaluate.add_argument(
        "--through",
        choices=["dense", "layers"],
        default="dense",
        help="attack compressed layers through their rebuilt dense kernel, which is faster and "
        "equal up to rounding, or through the factorised layers (default dense)",
    )
    evaluate.add_argument(
        "--device", metavar="D", help="where to compute: cpu, cuda or mps (default cpu)"
    )
    evaluate.add_argument(
        "--resume",
        metavar="FILE",
        help="the file that keeps the results batch by batch; after an interruption, the same "
        "command continues from it",
    )
    add_json(evaluate)


def run(options: argparse.Namespace) -> int:
    """Measures and prints the accuracies and costs."""
    from gdws_explorer.network.network import Network
    from gdws_explorer.network.plans.plan import Plan
    from gdws_explorer.robust.evaluation import evaluate

    model, bench = read_model(options)
    x, y = read_data(options, bench)
    attack = make_attack(options, bench)
    network = Network(model, x[:1])
    plan = network.plan() if options.plan is None else Plan.load(options.plan)
    summary = network.summary(plan)
    with progress_bar("evaluating") as update:
        report = evaluate(
            network.build(plan),
            (x, y),
            attack,
            n=options.n,
            seed=options.seed,
            through=options.through,
            device=options.device,
            resume=options.resume,
            progress=lambda done, partial: update(done, f"{partial.done}/{partial.n} images"),
        )
    if options.json:
        print(json.dumps(evaluation_json(options.model, plan, summary, report), indent=2))
    else:
        print(evaluation_text(options.model, plan, summary, report))
    return 0
