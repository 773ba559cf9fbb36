"""`gdws-explorer front`: prints or writes the non-dominated records of a study."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.output import records_json, records_text, setting_text
from gdws_explorer.cli.parser import add_command, add_json, add_storage, positive_int
from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.utils import files
from gdws_explorer.utils.format import first_line

if TYPE_CHECKING:
    from gdws_explorer.study.records import EvaluationSetting, Record
    from gdws_explorer.study.storage.store import Store

PICTURES = (".png", ".svg")


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    front = add_command(
        subparsers,
        "front",
        "show the non-dominated records of a study",
        "  gdws-explorer front\n"
        "  gdws-explorer front study.db --metric clean --cost params\n"
        "  gdws-explorer front --all --out records.csv\n"
        "  gdws-explorer front --setting 2 --out front.svg",
    )
    add_storage(front, positional=True)
    front.add_argument(
        "--setting",
        type=positive_int,
        metavar="I",
        help="the number of a setting (network, images, attack), where there are several: records "
        "of different settings are never on one front",
    )
    front.add_argument(
        "--metric",
        choices=["robust", "clean"],
        help="the accuracy (default robust where it was measured)",
    )
    front.add_argument(
        "--cost",
        choices=["macs", "params", "bytes"],
        default="macs",
        help="the cost (default macs)",
    )
    front.add_argument("--all", action="store_true", help="every record, not only the front")
    front.add_argument(
        "--out",
        metavar="FILE",
        help="write a table (.csv) or a figure (.png, .svg, .html) instead of printing",
    )
    add_json(front)


def run(options: argparse.Namespace) -> int:
    """Prints or writes the front of one setting."""
    from gdws_explorer.study.pareto import front_indices

    store = _open_existing(options.storage)
    try:
        setting = _choose_setting(store, options.setting)
        records = store.records(setting)
    finally:
        store.close()
    metric = options.metric or ("clean" if setting.attack is None else "robust")
    if metric == "robust" and setting.attack is None:
        raise DataError("these records were not attacked; use --metric clean.")
    front = front_indices(records, metric, options.cost)
    chosen = list(records) if options.all else [records[i] for i in front]
    if options.out is not None:
        _write(Path(options.out), records, chosen, metric, options)
        print(f"{options.out}: {len(chosen)} of {len(records)} records.")
    elif options.json:
        hashes = [records[i].plan.hash for i in front]
        result = records_json(options.storage, setting, chosen, {"front": hashes})
        print(json.dumps(result, indent=2))
    else:
        print(records_text(setting, chosen, len(records)))
    return 0


def _open_existing(storage: str) -> Store:
    from gdws_explorer.study.storage.store import Store

    if "://" not in storage and not Path(storage).is_file():
        raise DataError(f"there is no file {storage}; `gdws-explorer sweep` makes one.")
    return Store(storage)


def _choose_setting(store: Store, number: int | None) -> EvaluationSetting:
    """The setting of that number, or the only one."""
    settings = store.settings()
    if not settings:
        raise DataError("the storage has no records yet; `gdws-explorer sweep` measures some.")
    if number is None and len(settings) == 1:
        return settings[0]
    if number is None or number > len(settings):
        listed = "; ".join(f"{i}: {setting_text(each)}" for i, each in enumerate(settings, 1))
        raise DataError(
            f"there are records of {len(settings)} settings, which are never on one front; choose "
            f"one with --setting: {listed}."
        )
    return settings[number - 1]


def _write(
    path: Path,
    records: Sequence[Record],
    chosen: Sequence[Record],
    metric: str,
    options: argparse.Namespace,
) -> None:
    """Writes a table of the chosen records, or a figure of all of them with the front."""
    from gdws_explorer.study.record_files import write_csv

    kind = path.suffix.lower()
    if kind == ".csv":
        write_csv(path, chosen)
        return
    if kind not in (*PICTURES, ".html"):
        raise DataError(f"unknown format {path}; expected a .csv, .png, .svg or .html file.")
    figure = _figure(records, metric, options)
    if kind == ".html":
        from gdws_explorer.figures import theme

        # A copy: plotly removes entries from what it is given.
        html = figure.to_html(include_plotlyjs=True, config=dict(theme.CONFIG))
        files.write_text(path, html)
        return
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white")  # there is no page behind it
    with files.atomic(path) as temporary:
        try:
            picture = figure.to_image(kind[1:], width=900, height=520, scale=2)
        except Exception as error:  # kaleido raises many types, also for a missing Chromium
            raise ExplorerError(
                f"{path} cannot be drawn ({first_line(error)}); pip install kaleido and have "
                "Chromium or Chrome, or write .html or .csv."
            ) from error
        temporary.write_bytes(picture)


def _figure(records: Sequence[Record], metric: str, options: argparse.Namespace) -> Any:
    try:
        from gdws_explorer.figures import pareto_front
    except ModuleNotFoundError as error:
        raise ExplorerError(
            f'figures need {error.name}; install it with: pip install "gdws-explorer[widget]"'
        ) from error
    info = pareto_front.info(records, metric, options.cost)
    return pareto_front.figure([info], dominated=options.all)
