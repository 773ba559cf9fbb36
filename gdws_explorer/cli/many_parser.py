"""The words of the commands that measure many plans, and their help."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

from gdws_explorer.cli.parser import MODEL_HELP, add_attack, add_data, add_weights, command, count

FILE = "gdws-explorer.db"
VALUES = "how many, values with commas (0.2,0.5), or from:to:how many"


def add_many(commands: Any) -> None:
    """Add sweep, search and front."""
    _add_sweep(commands)
    _add_search(commands)
    _add_front(commands)


def _add_sweep(commands: Any) -> None:
    sweep = command(
        commands,
        "sweep",
        "measure plans along a line: over β, budgets, families or single layers",
        "  gdws-explorer sweep digits --beta 30\n"
        "  gdws-explorer sweep digits --beta 0.5:50:20 --macs 0.1,0.2,0.4 --families gdws,any\n"
        "  gdws-explorer sweep nets.py:resnet --data cifar10.npz --macs 30 --workers 4",
    )
    _add_measuring(sweep)
    sweep.add_argument(
        "--beta",
        type=lambda text: _values(text, by_logarithm=True),
        default=(),
        metavar="B",
        help=f"the paper's experiment, one bound on every layer's squared error: {VALUES}, evenly "
        "by their logarithm",
    )
    for name, what in (("macs", "MACs"), ("params", "parameters")):
        sweep.add_argument(
            f"--{name}",
            type=_values,
            default=(),
            metavar="F",
            help=f"budgets as fractions of the dense network's {what}: {VALUES}",
        )
    sweep.add_argument(
        "--families",
        type=_names,
        default=("any",),
        metavar="A,B",
        help="meet budgets with each of these alone: gdws, tucker2, svd, spatial, or any for all "
        "together (default any)",
    )
    sweep.add_argument(
        "--layers",
        type=_names,
        metavar="A,B",
        help="approximate one of these layers at a time; budgets are fractions of that layer",
    )
    sweep.add_argument("--alpha", action="store_true", help="weigh β by the paper's α (eq. 8)")
    _add_where(sweep)


def _add_search(commands: Any) -> None:
    search = command(
        commands,
        "search",
        "look for plans that nothing beats, beginning from the analytic front",
        "  gdws-explorer search digits --constraint 'robust >= 45 %'\n"
        "  gdws-explorer search digits --screen-steps 5 --evaluations 150 --workers 2\n"
        "  gdws-explorer search digits --objectives robust,clean,macs --sampler tpe",
    )
    _add_measuring(search)
    search.add_argument(
        "--objectives",
        type=_names,
        default=("robust", "macs"),
        metavar="A,B",
        help="two or three of robust, clean, macs, params (default robust,macs)",
    )
    search.add_argument(
        "--constraint",
        action="append",
        default=[],
        metavar="C",
        help="'robust >= 0.45', 'macs <= 40%%'; may be given several times",
    )
    search.add_argument(
        "--evaluations", type=count, default=150, metavar="N", help="plans in all (default 150)"
    )
    search.add_argument(
        "--screen-steps",
        type=count,
        metavar="K",
        help="measure all plans with pgd of so many steps, and only the front as the other words "
        "say",
    )
    search.add_argument(
        "--screen-n", type=count, metavar="N", help="measure all plans on so many images first"
    )
    search.add_argument(
        "--families", type=_names, metavar="A,B", help="those allowed (default all)"
    )
    search.add_argument(
        "--sampler", choices=["nsga2", "tpe"], default="nsga2", help="of Optuna (default nsga2)"
    )
    search.add_argument(
        "--sampler-seed", type=int, default=0, metavar="S", help="of the sampler (default 0)"
    )
    _add_where(search)


def _add_front(commands: Any) -> None:
    front = command(
        commands,
        "front",
        "show what nothing beats of what was measured",
        "  gdws-explorer front\n"
        "  gdws-explorer front study.db --metric clean --cost params\n"
        "  gdws-explorer front --all --out records.csv\n"
        "  gdws-explorer front --setting 2 --out front.svg",
    )
    front.add_argument("storage", metavar="STORAGE", nargs="?", default=FILE, help=_storage_help())
    front.add_argument(
        "--setting",
        type=count,
        metavar="I",
        help="which, where networks, images or attacks differ: they are never on one front",
    )
    front.add_argument(
        "--metric", choices=["robust", "clean"], help="accuracy (default robust where measured)"
    )
    front.add_argument(
        "--cost", choices=["macs", "params", "bytes"], default="macs", help="(default macs)"
    )
    front.add_argument("--all", action="store_true", help="every record, not the front alone")
    front.add_argument(
        "--out",
        metavar="FILE",
        help="write a table (.csv) or a figure (.png, .svg, .html) instead of printing",
    )
    front.add_argument("--json", action="store_true", help="print one JSON object")


def _add_measuring(to: Any) -> None:
    to.add_argument("model", metavar="MODEL", nargs="?", default="digits", help=MODEL_HELP)
    add_weights(to)
    add_data(to)
    to.add_argument(
        "--from",
        dest="sources",
        type=_names,
        default=("weights",),
        metavar="A,B",
        help="what plans are made from: weights; refit, these refitted on images; data, the "
        "images' view of the layers (default weights)",
    )
    to.add_argument(
        "--calibration",
        metavar="FILE.npz",
        help="images x, and labels y, for refit, data and α; not those of --data; a bundled "
        "network brings its own",
    )
    add_attack(to, images="at most 360")


def _add_where(to: Any) -> None:
    to.add_argument("--storage", default=FILE, metavar="STORAGE", help=_storage_help())
    to.add_argument("--workers", type=count, metavar="N", help="measure in N processes")
    to.add_argument(
        "--scheduler", metavar="URL", help="measure on the Dask cluster of tcp://host:port"
    )
    to.add_argument("--json", action="store_true", help="print one JSON object")


def _storage_help() -> str:
    return f"the file that keeps what is measured (default {FILE})"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _values(text: str, by_logarithm: bool = False) -> int | tuple[float, ...]:
    try:
        if text.isdigit():
            return int(text)
        if ":" not in text:
            return tuple(float(Fraction(part.strip())) for part in text.split(","))
        first, last, how_many = text.split(":")
        low, high, number = float(Fraction(first)), float(Fraction(last)), int(how_many)
        if number < 2 or (by_logarithm and min(low, high) <= 0):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {VALUES}; a logarithm takes numbers above 0"
        ) from None
    steps = [step / (number - 1) for step in range(number)]
    if by_logarithm:
        return tuple(low * (high / low) ** step for step in steps)
    return tuple(low + (high - low) * step for step in steps)
