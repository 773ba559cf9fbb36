"""The shared part of `sweep` and `search`: inputs, measuring, storage, printed records."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.inputs import let_workers_import, make_attack, read_data, read_model
from gdws_explorer.cli.output import records_json, records_text, study_bar
from gdws_explorer.errors import Cancelled

if TYPE_CHECKING:
    from gdws_explorer.study.records import Record
    from gdws_explorer.study.runner import StudyProgress

INTERRUPTED = 130

Measure = Callable[[dict[str, Any]], tuple[Sequence["Record"], dict[str, Any]]]
"""Takes the shared keywords of `gx.sweep` and `gx.search`; returns records and JSON keys."""


def run_study(options: argparse.Namespace, label: str, measure: Measure) -> int:
    """Measures plans, and prints their front and how to continue after an interruption."""
    from gdws_explorer.study.pareto import front_indices
    from gdws_explorer.study.storage.store import Store

    store = Store(options.storage)
    last: StudyProgress | None = None
    try:
        with study_bar(label) as update:

            def progress(now: StudyProgress) -> None:
                nonlocal last
                last = now
                update(now)

            records, more = measure({**_inputs(options), "storage": store, "progress": progress})
    except (Cancelled, KeyboardInterrupt):
        done = (
            "nothing is"
            if last is None or last.total is None
            else f"{last.done} of {last.total} plans are"
        )
        print(
            f"gdws-explorer: stopped; {done} measured and kept in {options.storage}. The same "
            "command continues from there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        store.close()
    setting = records[0].setting
    metric = "clean" if setting.attack is None else "robust"
    front = [records[i] for i in front_indices(records, metric, "macs")]
    if options.json:
        more = {"front": [record.plan.hash for record in front], **more}
        print(json.dumps(records_json(options.storage, setting, records, more), indent=2))
    else:
        print(records_text(setting, front, len(records)))
        print(f"kept in {options.storage}; `gdws-explorer front` writes tables and figures of it.")
    return 0


def _inputs(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords that `gx.sweep` and `gx.search` both take."""
    from gdws_explorer.bench.data import load_data
    from gdws_explorer.network.network import Network

    if (options.workers or options.scheduler) and ":" in options.model:
        let_workers_import(options.model)
    model, bench = read_model(options)
    data = read_data(options, bench)
    calibration: Any = None if bench is None else bench.train_data
    if options.calibration is not None:
        calibration = load_data(Path(options.calibration))
    return {
        "target": Network(model, data[0][:1]),
        "data": data,
        "calibration": calibration,
        "sources": options.sources,
        "attack": make_attack(options, bench),
        "n": options.n,
        "seed": options.seed,
        "workers": options.workers,
        "scheduler": options.scheduler,
    }
