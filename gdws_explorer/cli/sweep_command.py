"""`gdws-explorer sweep`: measures a grid of plans."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.parser import add_command, add_execution, add_study, names
from gdws_explorer.cli.study_run import run_study

if TYPE_CHECKING:
    from gdws_explorer.study.records import Record

GRID = "how many, values with commas (0.2,0.5), or from:to:how many"


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    sweep = add_command(
        subparsers,
        "sweep",
        "measure a grid of plans: over β, budgets, families or single layers",
        "  gdws-explorer sweep digits --beta 30\n"
        "  gdws-explorer sweep digits --beta 0.5:50:20 --macs 0.1,0.2,0.4 --families gdws,any\n"
        "  gdws-explorer sweep nets.py:resnet --data cifar10.npz --macs 30 --workers 4",
    )
    add_study(sweep)
    sweep.add_argument(
        "--beta",
        type=_logarithmic_grid,
        default=(),
        metavar="B",
        help=f"the paper's experiment, one bound on every layer's squared error: {GRID}, evenly "
        "spaced by logarithm",
    )
    for name, noun in (("macs", "MACs"), ("params", "parameters")):
        sweep.add_argument(
            f"--{name}",
            type=_grid,
            default=(),
            metavar="F",
            help=f"budgets as fractions of the dense network's {noun}: {GRID}",
        )
    sweep.add_argument(
        "--families",
        type=names,
        default=("any",),
        metavar="A,B",
        help="spend every budget once per family: gdws, tucker2, svd, spatial, or any for all of "
        "them together (default any)",
    )
    sweep.add_argument(
        "--layers",
        type=names,
        metavar="A,B",
        help="approximate one of these layers at a time; budgets are fractions of that layer",
    )
    sweep.add_argument(
        "--alpha", action="store_true", help="weight the errors by the paper's α (eq. 8) for β"
    )
    add_execution(sweep)


def run(options: argparse.Namespace) -> int:
    """Measures the grid."""
    from gdws_explorer import api

    def measure(inputs: dict[str, Any]) -> tuple[Sequence[Record], dict[str, Any]]:
        records = api.sweep(
            **inputs,
            beta=options.beta,
            macs=options.macs,
            params=options.params,
            families=options.families,
            layers=options.layers,
            alpha=options.alpha,
        )
        return records, {}

    return run_study(options, "sweep", measure)


def _logarithmic_grid(text: str) -> int | tuple[float, ...]:
    return _grid(text, logarithmic=True)


def _grid(text: str, logarithmic: bool = False) -> int | tuple[float, ...]:
    """A number of values, or the values of a list or of a range."""
    try:
        if text.isdigit():
            return int(text)
        if ":" not in text:
            return tuple(float(Fraction(part.strip())) for part in text.split(","))
        first, last, count = text.split(":")
        low, high, number = float(Fraction(first)), float(Fraction(last)), int(count)
        if number < 2 or (logarithmic and min(low, high) <= 0):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {GRID}; on a logarithmic scale, values must be above 0"
        ) from None
    steps = [step / (number - 1) for step in range(number)]
    if logarithmic:
        return tuple(low * (high / low) ** step for step in steps)
    return tuple(low + (high - low) * step for step in steps)
