"""`gdws-explorer search`: measures plans that a sampler proposes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.parser import add_command, add_execution, add_study, names, positive_int
from gdws_explorer.cli.study_run import run_study
from gdws_explorer.errors import DataError

if TYPE_CHECKING:
    from gdws_explorer.study.records import Record


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    search = add_command(
        subparsers,
        "search",
        "search for non-dominated plans, beginning with the analytic front",
        "  gdws-explorer search digits --constraint 'robust >= 45 %'\n"
        "  gdws-explorer search digits --screen-steps 5 --evaluations 150 --workers 2\n"
        "  gdws-explorer search digits --objectives robust,clean,macs --sampler tpe",
    )
    add_study(search)
    search.add_argument(
        "--objectives",
        type=names,
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
        "--evaluations",
        type=positive_int,
        default=150,
        metavar="N",
        help="number of plans to measure (default 150)",
    )
    search.add_argument(
        "--screen-steps",
        type=positive_int,
        metavar="K",
        help="measure all plans with pgd of K steps, and only their front with the attack of "
        "--attack",
    )
    search.add_argument(
        "--screen-n",
        type=positive_int,
        metavar="N",
        help="measure all plans on N images first, and only their front on --n images",
    )
    search.add_argument(
        "--families", type=names, metavar="A,B", help="the families allowed (default all)"
    )
    search.add_argument(
        "--sampler",
        choices=["nsga2", "tpe"],
        default="nsga2",
        help="Optuna's sampler (default nsga2)",
    )
    search.add_argument(
        "--sampler-seed", type=int, default=0, metavar="S", help="the sampler's seed (default 0)"
    )
    add_execution(search)


def run(options: argparse.Namespace) -> int:
    """Runs the search."""
    from gdws_explorer import api
    from gdws_explorer.study.objectives import parse_constraint

    constraints = dict(map(parse_constraint, options.constraint))

    def measure(inputs: dict[str, Any]) -> tuple[Sequence[Record], dict[str, Any]]:
        result = api.search(
            **inputs,
            objectives=options.objectives,
            constraints=constraints,
            evaluations=options.evaluations,
            screen=_screen(options, inputs),
            families=options.families,
            sampler=options.sampler,
            sampler_seed=options.sampler_seed,
        )
        front = [record.plan.hash for record in result.front]
        return result.records, {"front": front, "hypervolume": list(result.hypervolume)}

    return run_study(options, "search", measure)


def _screen(options: argparse.Namespace, inputs: dict[str, Any]) -> list[tuple[Any, int]]:
    """The cheaper attack and number of images of the first stage, where one is requested."""
    from gdws_explorer.robust.attacks import PGD
    from gdws_explorer.robust.sequence import stages_of
    from gdws_explorer.study.measurements import default_n

    attack, n = inputs["attack"], inputs["n"]
    if options.screen_steps is None and options.screen_n is None:
        return []
    if options.screen_steps is not None:
        if attack is None:
            raise DataError("--screen-steps needs an attack: --attack pgd or another.")
        first = stages_of(attack)[0]
        attack = PGD(first.eps, steps=options.screen_steps, norm=first.norm)
    images = len(inputs["data"][1])
    return [(attack, options.screen_n or n or default_n(images))]
