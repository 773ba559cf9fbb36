"""The command line: `gdws-explorer COMMAND`, one module per command.

`main` is its entry point. Every command has `add_parser(subparsers)` and `run(options)`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gdws_explorer import __version__
from gdws_explorer.cli import (
    apply_command,
    evaluate_command,
    front_command,
    lab_command,
    latency_command,
    search_command,
    sweep_command,
    train_command,
)
from gdws_explorer.errors import Cancelled, ExplorerError

COMMANDS = {
    "lab": lab_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "apply": apply_command,
    "sweep": sweep_command,
    "search": search_command,
    "front": front_command,
    "latency": latency_command,
}
FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Parameters
    ----------
    argv : the arguments after the program's name; by default those of this process.

    Returns
    -------
    0, or 2 after an error (one sentence on stderr), or 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal's encoding may lack ε
            stream.reconfigure(errors="replace")
    parser = _parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown and options.command != "lab":  # lab passes them on to JupyterLab
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.unknown = unknown
    try:
        exit_code: int = COMMANDS[options.command].run(options)
        return exit_code
    except ExplorerError as error:
        print(f"gdws-explorer: {error}", file=sys.stderr)
        return FAILED
    except (Cancelled, KeyboardInterrupt):
        print("gdws-explorer: stopped.", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line; `.command` is the command's name."""
    parser = argparse.ArgumentParser(
        prog="gdws-explorer",
        description="Compress convolutional networks and measure what it costs them under attack.",
        epilog="`gdws-explorer COMMAND --help` explains a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gdws-explorer {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    return parser
