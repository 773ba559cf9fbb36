"""The command `gdws-explorer`: open the lessons, train, evaluate and apply plans.

What takes long to import is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.inputs import attack_of, data_of, model_of
from gdws_explorer.cli.parser import parser
from gdws_explorer.errors import Cancelled, ExplorerError

if TYPE_CHECKING:
    from gdws_explorer.network.plans.cost import Summary
    from gdws_explorer.robust.report import Report

PACKAGE = Path(__file__).resolve().parent
LESSON = "01_first_look.ipynb"
FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for an error (one sentence on stderr) or 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # ε on a terminal that has no ε
            stream.reconfigure(errors="replace")
    words = parser()
    options, unknown = words.parse_known_args(argv)
    if unknown and options.command != "lab":
        words.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.unknown = unknown
    try:
        return COMMANDS[options.command](options)
    except ExplorerError as error:
        print(f"gdws-explorer: {error}", file=sys.stderr)
        return FAILED
    except (Cancelled, KeyboardInterrupt):
        print("gdws-explorer: stopped.", file=sys.stderr)
        return INTERRUPTED


# -- the commands --------------------------------------------------------------------------


def _lab(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        raise ExplorerError('JupyterLab is not installed: pip install "gdws-explorer[lab]".')
    lesson = _lesson()
    quiet = [  # no request leaves the machine
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    command = [sys.executable, "-m", "jupyterlab", str(lesson), *quiet, *options.unknown]
    with subprocess.Popen(command) as server:
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # it goes to JupyterLab too, which asks what to do
                continue


def _train(options: argparse.Namespace) -> int:
    from gdws_explorer.bench.digits import train_digits

    folder = _training_folder(options.out)
    name = "digits-plain" if options.plain else "digits"
    with _bar(f"training {name}") as move:
        report = train_digits(
            options.plain, folder, lambda done, loss: move(done, f"loss {loss:.3f}")
        )
    print(f"{folder / name}.safetensors and .json written.")
    print(report)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from gdws_explorer.network.network import Network
    from gdws_explorer.robust.evaluation import evaluate

    model, bench = model_of(options)
    x, y = data_of(options, bench)
    attack = attack_of(options, bench)
    net = Network(model, x[:1])
    plan = net.plan()
    if options.plan is not None:
        plan = type(plan).load(options.plan)
    summary = net.summary(plan)
    with _bar("evaluating") as move:
        report = evaluate(
            net.build(plan),
            (x, y),
            attack,
            n=options.n,
            seed=options.seed,
            through=options.through,
            device=options.device,
            resume=options.resume,
            progress=lambda done, partial: move(done, f"{partial.done}/{partial.n} images"),
        )
    if options.json:
        print(json.dumps(_result(options.model, plan, summary, report), indent=2))
    else:
        print(_words(options.model, plan, summary, report))
    return 0


def _apply(options: argparse.Namespace) -> int:
    import torch

    from gdws_explorer.bundle.export_folder import export
    from gdws_explorer.network.network import Network
    from gdws_explorer.network.plans.plan import Plan

    plan = Plan.load(options.plan)
    model, _ = model_of(options)
    net = Network(model, torch.zeros(1, *plan.input_shape))
    summary = net.summary(plan)
    folder = export(
        net.build(plan),
        plan,
        options.out,
        summary=summary,
        onnx=not options.no_onnx,
        # One name does not make these again.
        source=None if options.classes or options.weights == "published" else options.model,
    )
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print(_costs(summary))
    if not options.no_onnx:
        facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        parity = facts["onnx"]["parity"]["max_abs_difference"]
        print(f"ONNX Runtime differs from torch by at most {parity:.1e}")
    return 0


def _many(options: argparse.Namespace) -> int:
    from gdws_explorer.cli import many

    return many.COMMANDS[options.command](options)


# -- folders ------------------------------------------------------------------------------


def _checkout() -> Path | None:
    """The checkout that this package runs from, if it does."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def _lesson() -> Path:
    """The first lesson: the checkout's own when started inside it, else a copy to work in."""
    here, checkout = Path.cwd(), _checkout()
    if checkout is not None and here.resolve().is_relative_to(checkout):
        return checkout / "notebooks" / LESSON
    bundled = PACKAGE / "_notebooks" if checkout is None else checkout / "notebooks"
    lessons = sorted(bundled.glob("*.ipynb"))
    if not lessons:
        raise ExplorerError("the bundled notebooks are missing; install gdws-explorer again.")
    for lesson in lessons:
        if not (here / lesson.name).exists():  # what a student wrote in it stays
            _copy(lesson, here)
    return here / LESSON


def _copy(file: Path, folder: Path) -> None:
    try:
        shutil.copy(file, folder)
    except OSError as error:
        raise ExplorerError(
            f"{folder} cannot be written ({error.strerror}); start it in another folder."
        ) from error


def _training_folder(out: str | None) -> Path:
    """Where the weights go; found out to be writable before minutes of training."""
    from gdws_explorer.utils import files

    checkout = _checkout()
    default = Path.cwd() if checkout is None else checkout / "data"
    folder = default if out is None else Path(out)
    probe = folder / ".gdws-explorer"
    files.write_text(probe, "")
    probe.unlink()
    return folder


# -- what they say ------------------------------------------------------------------------


@contextmanager
def _bar(what: str) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr; the function it yields takes the fraction done and a word."""
    from tqdm import tqdm

    # In a log file a line every ten seconds is enough.
    pause = 0.1 if sys.stderr.isatty() else 10.0
    shape = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"
    with tqdm(total=1.0, desc=what, bar_format=shape, mininterval=pause, file=sys.stderr) as bar:

        def move(done: float, word: str) -> None:
            bar.set_postfix_str(word, refresh=False)
            bar.update(max(0.0, done - bar.n))

        yield move


def _result(name: str, plan: Any, summary: Summary, report: Report) -> dict[str, Any]:
    measured = report.to_dict()
    del measured["clean_mask"], measured["robust_mask"]
    costs = ("macs", "params", "bytes", "error", "relative_error")
    dense = ("dense_macs", "dense_params", "dense_bytes")
    return {
        "model": name,
        "fingerprint": plan.fingerprint,
        "plan": {"hash": plan.hash, "words": str(plan)},
        "attack_label": None if report.attack is None else report.attack.label,
        **measured,
        **{each: getattr(summary, each) for each in (*costs, *dense)},
    }


def _words(name: str, plan: Any, summary: Summary, report: Report) -> str:
    from gdws_explorer.robust.interval import wilson
    from gdws_explorer.robust.sequence import AttackSequence

    through = {"dense": "the rebuilt dense kernels", "layers": "the factorised layers"}
    lines = [
        f"{name}: {plan}",
        f"{report.n} images, seed {report.seed}, through {through[report.through]}, "
        f"{report.seconds:.1f} s",
        _accuracy("clean accuracy", report.clean, report.clean_interval),
    ]
    if isinstance(report.attack, AttackSequence):
        for stage, stood in zip(report.attack.stages, report.stages, strict=True):
            lines.append(_accuracy(stage.label, stood / report.n, wilson(stood, report.n)))
    elif report.attack is not None:
        lines.append(_accuracy(report.attack.label, report.robust, report.robust_interval))
    if report.note is not None:
        lines.append(f"note: {report.note}")
    return "\n".join([*lines, _costs(summary)])


def _accuracy(what: str, share: float | None, interval: tuple[float, float] | None) -> str:
    assert share is not None
    assert interval is not None
    low, high = interval
    return f"{what:<24}{share:7.1%}   95 % interval {low:.1%} to {high:.1%}"


def _costs(summary: Summary) -> str:
    rows = [("MACs, one image", summary.macs, summary.dense_macs)]
    rows.append(("parameters", summary.params, summary.dense_params))
    return "\n".join(
        f"{what:<24}{now / dense:7.1%}   {now:,} of {dense:,} dense" for what, now, dense in rows
    )


COMMANDS = {
    "lab": _lab,
    "train": _train,
    "evaluate": _evaluate,
    "apply": _apply,
    "sweep": _many,
    "search": _many,
    "front": _many,
}
