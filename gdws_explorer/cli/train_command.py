"""`gdws-explorer train`: trains a bundled network again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gdws_explorer.cli.output import progress_bar
from gdws_explorer.cli.parser import add_command


def add_parser(subparsers: Any) -> None:
    """Adds the command."""
    train = add_command(
        subparsers,
        "train",
        "train a bundled network again",
        "  gdws-explorer train digits --out again/\n  gdws-explorer train digits --plain",
    )
    train.add_argument("network", choices=["digits"], help="the network; takes up to 3 minutes")
    train.add_argument(
        "--plain", action="store_true", help="train without attack: the network digits-plain"
    )
    train.add_argument(
        "--out",
        metavar="FOLDER",
        help="the folder for weights (safetensors) and card (JSON); by default the checkout's "
        "data/, or outside a checkout the current folder",
    )


def run(options: argparse.Namespace) -> int:
    """Trains, measures and stores the network."""
    from gdws_explorer.bench import digits

    folder = _writable_folder(options.out)
    name = "digits-plain" if options.plain else "digits"
    with progress_bar(f"training {name}") as update:
        report = digits.train_digits(
            options.plain, folder, lambda fraction, loss: update(fraction, f"loss {loss:.3f}")
        )
    print(f"{folder / name}.safetensors and .json written.")
    print(report)
    return 0


def _writable_folder(out: str | None) -> Path:
    """The folder of the weights; it is written to before minutes of training, to be sure."""
    from gdws_explorer.bench import resources
    from gdws_explorer.utils import files

    checkout = resources.checkout()
    default = Path.cwd() if checkout is None else checkout / "data"
    folder = default if out is None else Path(out)
    probe = folder / ".gdws-explorer"
    files.write_text(probe, "")
    probe.unlink()
    return folder
