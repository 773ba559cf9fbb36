"""The commands that measure many plans: sweep, search, and front to look at what they found."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer import api
from gdws_explorer.cli.inputs import attack_of, data_of, model_of
from gdws_explorer.errors import Cancelled, DataError, ExplorerError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.sequence import stages_of
from gdws_explorer.study.pareto import front_indices
from gdws_explorer.study.record_files import write_csv
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.study.storage.store import Store
from gdws_explorer.utils import files

if TYPE_CHECKING:
    from gdws_explorer.study.runner import StudyProgress

INTERRUPTED = 130
PICTURES = (".png", ".svg")


def sweep(options: argparse.Namespace) -> int:
    """Measure a grid of plans."""

    def run(common: dict[str, Any]) -> tuple[Sequence[Record], dict[str, Any]]:
        records = api.sweep(
            **common,
            beta=options.beta,
            macs=options.macs,
            params=options.params,
            families=options.families,
            layers=options.layers,
            alpha=options.alpha,
        )
        return records, {}

    return _measured(options, "sweep", run)


def search(options: argparse.Namespace) -> int:
    """Measure what a sampler proposes."""
    from gdws_explorer.study.objectives import parse_constraint

    constraints = dict(map(parse_constraint, options.constraint))

    def run(common: dict[str, Any]) -> tuple[Sequence[Record], dict[str, Any]]:
        found = api.search(
            **common,
            objectives=options.objectives,
            constraints=constraints,
            evaluations=options.evaluations,
            screen=_screen(options, common),
            families=options.families,
            sampler=options.sampler,
            sampler_seed=options.sampler_seed,
        )
        front = [record.plan.hash for record in found.front]
        return found.records, {"front": front, "hypervolume": list(found.hypervolume)}

    return _measured(options, "search", run)


def front(options: argparse.Namespace) -> int:
    """Show or write the front of one setting."""
    store = _existing(options.storage)
    try:
        setting = _setting(store, options.setting)
        records = store.records(setting)
    finally:
        store.close()
    metric = options.metric or ("clean" if setting.attack is None else "robust")
    if metric == "robust" and setting.attack is None:
        raise DataError("these records were not attacked; use --metric clean.")
    best = front_indices(records, metric, options.cost)
    chosen = list(records) if options.all else [records[i] for i in best]
    if options.out is not None:
        _write(Path(options.out), records, chosen, metric, options)
        print(f"{options.out}: {len(chosen)} of {len(records)} records.")
    elif options.json:
        hashes = [records[i].plan.hash for i in best]
        print(json.dumps(_result(options.storage, setting, chosen, {"front": hashes}), indent=2))
    else:
        print(_table(setting, chosen, len(records)))
    return 0


COMMANDS = {"sweep": sweep, "search": search, "front": front}


# -- measuring -----------------------------------------------------------------------------


def _measured(
    options: argparse.Namespace,
    what: str,
    run: Callable[[dict[str, Any]], tuple[Sequence[Record], dict[str, Any]]],
) -> int:
    """Run one of the two, and say what it found; stopped, what is kept and how to go on."""
    store = Store(options.storage)
    last: list[StudyProgress] = []
    try:
        with _bar(what, last) as move:
            common = {**_given(options), "storage": store, "progress": move}
            records, more = run(common)
    except (Cancelled, KeyboardInterrupt):
        done = f"{last[-1].done} of {last[-1].total} plans are" if last else "nothing is"
        print(
            f"gdws-explorer: stopped; {done} measured and kept in {options.storage}. The same "
            "command goes on from there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        store.close()
    setting = records[0].setting
    metric = "clean" if setting.attack is None else "robust"
    best = [records[i] for i in front_indices(records, metric, "macs")]
    if options.json:
        more = {"front": [one.plan.hash for one in best], **more}
        print(json.dumps(_result(options.storage, setting, records, more), indent=2))
    else:
        print(_table(setting, best, len(records)))
        print(f"kept in {options.storage}; `gdws-explorer front` writes tables and figures of it.")
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What `many.sweep` and `many.search` both take."""
    from gdws_explorer.bench.data import load_data

    if (options.workers or options.scheduler) and ":" in options.model:
        _findable(options.model)
    model, bench = model_of(options)
    data = data_of(options, bench)
    calibration = None if bench is None else bench.train_data
    if options.calibration is not None:
        calibration = load_data(Path(options.calibration))
    return {
        "target": Network(model, data[0][:1]),
        "data": data,
        "calibration": calibration,
        "sources": options.sources,
        "attack": attack_of(options, bench),
        "n": options.n,
        "seed": options.seed,
        "workers": options.workers,
        "scheduler": options.scheduler,
    }


def _findable(model: str) -> None:
    """Let worker processes find the file or module that the network's class is in."""
    module = model.rpartition(":")[0]
    folder = Path(module).resolve().parent if module.endswith(".py") else Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _screen(options: argparse.Namespace, common: dict[str, Any]) -> list[tuple[Any, int]]:
    """The cheaper setting that all plans are measured in, if one is asked for."""
    attack, n = common["attack"], common["n"]
    if options.screen_steps is None and options.screen_n is None:
        return []
    if options.screen_steps is not None:
        if attack is None:
            raise DataError("--screen-steps needs an attack: --attack pgd or another.")
        first = stages_of(attack)[0]
        attack = PGD(first.eps, steps=options.screen_steps, norm=first.norm)
    images = len(common["data"][1])
    return [(attack, options.screen_n or n or min(images, 360))]


@contextmanager
def _bar(what: str, last: list[StudyProgress]) -> Iterator[Callable[[StudyProgress], None]]:
    """A progress bar on stderr; a search that screens has one for every stage."""
    from tqdm import tqdm

    shape = "{desc}: {n_fmt}/{total_fmt} plans |{bar}| {elapsed}{postfix}"
    pause = 0.1 if sys.stderr.isatty() else 10.0  # in a log file a line now and then is enough
    bars: list[Any] = []

    def move(progress: StudyProgress) -> None:
        if not last or progress.done < last[-1].done or progress.total != last[-1].total:
            while bars:
                bars.pop().close()
            bars.append(
                tqdm(
                    total=progress.total, desc=what, bar_format=shape, mininterval=pause,
                    file=sys.stderr,
                )
            )  # fmt: skip
        last[:] = [progress]
        left = progress.seconds_left
        words = [f"{progress.known} known"] if progress.known else []
        words += [] if left is None else [f"{_duration(left)} left"]
        bars[-1].set_postfix_str(", ".join(words), refresh=False)
        bars[-1].update(progress.done - bars[-1].n)

    try:
        yield move
    finally:
        for bar in bars:
            bar.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# -- looking -------------------------------------------------------------------------------


def _existing(storage: str) -> Store:
    if "://" not in storage and not Path(storage).is_file():
        raise DataError(f"there is no file {storage}; `gdws-explorer sweep` makes one.")
    return Store(storage)


def _setting(store: Store, number: int | None) -> EvaluationSetting:
    """The setting of that number, or the only one there is."""
    there = store.settings()
    if not there:
        raise DataError("nothing is measured there yet; `gdws-explorer sweep` does.")
    if number is None and len(there) == 1:
        return there[0]
    if number is None or number > len(there):
        each = "; ".join(f"{i}: {_words(one)}" for i, one in enumerate(there, 1))
        raise DataError(
            f"there are records of {len(there)} settings, which are never on one front; choose one "
            f"with --setting: {each}."
        )
    return there[number - 1]


def _words(setting: EvaluationSetting) -> str:
    return f"network {setting.fingerprint[:8]} · {setting.label}"


def _table(setting: EvaluationSetting, records: Sequence[Record], of: int) -> str:
    """The records by rising cost, with 95 % intervals."""
    attacked = setting.attack is not None
    head = f"{'MACs':>14}{'parameters':>12}{'clean':>8}"
    lines = [f"{_words(setting)}: {len(records)} of {of} records"]
    lines.append(head + (f"{'robust':>8}   95 %           " if attacked else "   ") + "plan")
    for one in sorted(records, key=lambda r: r.macs):
        line = f"{one.macs:>14,}{one.params:>12,}{one.clean:>8.1%}"
        if one.robust is not None and one.robust_interval is not None:
            low, high = one.robust_interval
            line += f"{one.robust:>8.1%}   {f'{low:.1%} to {high:.1%}':<15}"
        lines.append(f"{line}   {one.plan}")
    return "\n".join(lines)


def _result(
    storage: str, setting: EvaluationSetting, records: Sequence[Record], more: dict[str, Any]
) -> dict[str, Any]:
    return {
        "storage": storage,
        "setting": setting.to_dict(),
        **more,
        "records": [
            {"hash": one.plan.hash, "words": str(one.plan), **one.to_dict()} for one in records
        ],
    }


def _write(
    path: Path,
    records: Sequence[Record],
    chosen: Sequence[Record],
    metric: str,
    options: argparse.Namespace,
) -> None:
    """A table of the chosen records, or a figure of all of them with the front through it."""
    kind = path.suffix.lower()
    if kind == ".csv":
        write_csv(path, chosen)
        return
    if kind not in (*PICTURES, ".html"):
        raise DataError(f"{path} is not .csv, .png, .svg or .html.")
    try:
        from gdws_explorer.figures import pareto_front as figures
    except ModuleNotFoundError as error:
        raise ExplorerError(
            f'figures need {error.name}; install it with: pip install "gdws-explorer[widget]"'
        ) from error
    figure = figures.figure([figures.info(records, metric, options.cost)], dominated=options.all)
    if kind == ".html":
        from gdws_explorer.figures import theme

        page = figure.to_html(include_plotlyjs=True, config=theme.CONFIG)
        files.write_text(path, page)
        return
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white")  # no page to shine through
    with files.atomic(path) as temporary:
        try:
            picture = figure.to_image(kind[1:], width=900, height=520, scale=2)
        except Exception as error:  # kaleido's are of many kinds, a missing Chromium among them
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExplorerError(
                f"{path} cannot be drawn ({reason}); pip install kaleido and have Chromium or "
                "Chrome, or write .html or .csv."
            ) from error
        temporary.write_bytes(picture)
