"""The words that `gdws-explorer` understands, and its help."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

from gdws_explorer import __version__

MODEL_HELP = (
    "a bundled network (digits, digits-plain, cifar10), or package.module:factory or file.py:factory: a "
    "function or class that is called without arguments and returns a torch.nn.Module"
)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `.command` is the command's name."""
    whole = argparse.ArgumentParser(
        prog="gdws-explorer",
        description="Compress convolutional networks and see what it costs them under attack.",
        epilog="`gdws-explorer COMMAND --help` says more about each.",
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"gdws-explorer {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    _add_lab(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_apply(commands)
    return whole


def _command(commands: Any, name: str, purpose: str, examples: str) -> Any:
    added = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.set_defaults(command=name)
    return added


def _add_lab(commands: Any) -> None:
    lab = _command(
        commands,
        "lab",
        "open the lessons in JupyterLab",
        "  gdws-explorer lab\n  gdws-explorer lab --no-browser --port 8890",
    )
    lab.usage = "gdws-explorer lab [-h] [arguments of `jupyter lab` ...]"
    lab.description += (
        " Outside the checkout the notebooks are first copied\ninto the current folder; those "
        "that are there already stay as they are."
    )


def _add_train(commands: Any) -> None:
    train = _command(
        commands,
        "train",
        "train a bundled network again",
        "  gdws-explorer train digits --out again/\n  gdws-explorer train digits --plain",
    )
    train.add_argument("network", choices=["digits"], help="which one; takes up to 3 minutes")
    train.add_argument("--plain", action="store_true", help="without attack: the twin digits-plain")
    train.add_argument(
        "--out",
        metavar="FOLDER",
        help="where weights (safetensors) and card (JSON) go; the checkout's data/, or the "
        "current folder outside a checkout, unless given",
    )


def _add_evaluate(commands: Any) -> None:
    evaluate = _command(
        commands,
        "evaluate",
        "measure a network's accuracy, as it is and under attack",
        "  gdws-explorer evaluate\n"
        "  gdws-explorer evaluate digits --plan chosen/plan.json --eps 0.1 --n 200\n"
        "  gdws-explorer evaluate nets.py:resnet --weights resnet.safetensors \\\n"
        "      --data cifar10.npz --attack pgd --eps 8/255 --steps 50 --json",
    )
    evaluate.add_argument("model", metavar="MODEL", nargs="?", default="digits", help=MODEL_HELP)
    _add_weights(evaluate)
    evaluate.add_argument(
        "--data",
        metavar="FILE.npz",
        help="images x (N, C, H, W), floats in [0, 1] or bytes 0 to 255, and labels y (N,); a "
        "digits bring their own, CIFAR-10's folder is named in GDWS_EXPLORER_CIFAR10",
    )
    evaluate.add_argument(
        "--plan", metavar="plan.json", help="compress the network by this plan first"
    )
    evaluate.add_argument(
        "--attack", choices=["none", "fgsm", "pgd"], default="pgd", help="ℓ∞ attack (default pgd)"
    )
    evaluate.add_argument(
        "--eps",
        type=_radius,
        metavar="E",
        help="how far one pixel may move, images being in [0, 1]: 0.15 or 8/255 (default: 0.15 "
        "for the digits, 8/255 for others)",
    )
    evaluate.add_argument(
        "--steps", type=_count, metavar="K", help="gradient steps of pgd (default 20)"
    )
    evaluate.add_argument(
        "--n", type=_count, metavar="N", help="how many images, classes balanced (default all)"
    )
    evaluate.add_argument(
        "--seed", type=int, default=0, metavar="S", help="chooses images and noise (default 0)"
    )
    evaluate.add_argument(
        "--through",
        choices=["dense", "layers"],
        default="dense",
        help="attack compressed layers through their rebuilt dense kernel, faster and equal up "
        "to rounding, or as they are (default dense)",
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")


def _add_apply(commands: Any) -> None:
    apply = _command(
        commands,
        "apply",
        "compress a network by a plan and export it",
        "  gdws-explorer apply plan.json digits chosen/\n"
        "  gdws-explorer apply plan.json nets.py:resnet chosen/ --weights resnet.safetensors",
    )
    apply.add_argument("plan", metavar="PLAN", help="plan.json, of exactly this network")
    apply.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    apply.add_argument(
        "out", metavar="OUT", help="the folder to write: new, empty or an earlier export"
    )
    _add_weights(apply)
    apply.add_argument("--no-onnx", action="store_true", help="leave model.onnx out")


def _add_weights(command: Any) -> None:
    command.add_argument(
        "--weights",
        metavar="FILE",
        help="the network's state_dict: .safetensors, or .pt and .pth (tensors only, nothing in "
        "them is executed)",
    )


def _radius(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write 0.15 or 8/255") from None


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return number
