"""Arguments that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

STORAGE = "gdws-explorer.db"
MODEL_HELP = (
    "a bundled network (digits, digits-plain, cifar10); cifar:NAME, torchvision:NAME or timm:NAME "
    "as in gx.load_model; or package.module:factory or file.py:factory: a function or class that "
    "is called without arguments and returns a torch.nn.Module"
)
# The options that each attack accepts besides --eps.
ATTACK_OPTIONS: dict[str, tuple[str, ...]] = {
    "fgsm": (),
    "pgd": ("norm", "steps", "restarts"),
    "apgd": ("norm", "steps", "restarts"),
    "apgd-dlr": ("norm", "steps", "restarts"),
    "apgd-t": ("norm", "steps", "restarts"),
    "fab": ("norm", "steps", "restarts"),
    "square": ("norm", "queries", "restarts"),
    "autoattack": ("norm",),
    "standard": (),
}


def add_command(subparsers: Any, name: str, purpose: str, examples: str) -> Any:
    """Adds a command and its help; returns the command's parser.

    purpose : one clause in lower case. examples : indented command lines.
    """
    added = subparsers.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.set_defaults(command=name)
    return added


# -- what is measured ----------------------------------------------------------------------


def add_model(parser: Any, *, optional: bool) -> None:
    """Adds MODEL; optional : whether it may be left out, which means the digits."""
    if optional:
        parser.add_argument("model", metavar="MODEL", nargs="?", default="digits", help=MODEL_HELP)
    else:
        parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def add_weights(parser: Any) -> None:
    """Adds the options for the weights of the network."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="the network's state_dict: .safetensors, or .pt, .pth and similar (tensors only, "
        "no code in them is executed); for torchvision: and timm: networks also the word "
        "published, which may download",
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="which network of a checkpoint that holds several, such as ema",
    )
    parser.add_argument(
        "--classes",
        type=positive_int,
        metavar="N",
        help="number of classes of a cifar:, torchvision: or timm: network",
    )


def add_data(parser: Any) -> None:
    """Adds the options for the images that a command measures on."""
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="an .npz with images x (N, C, H, W), floats in [0, 1] or bytes 0 to 255, and labels "
        "y (N,); a folder with one folder of images per class; or a torchvision data set by name, "
        "such as cifar10; the images of digits are bundled, the folder of CIFAR-10's is named in "
        "GDWS_EXPLORER_CIFAR10",
    )
    parser.add_argument(
        "--root",
        metavar="FOLDER",
        help="the folder with a named data set's files (default: this package's cache)",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="download a named data set where it is missing; without this, nothing is downloaded",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        metavar="PIXELS",
        help="resize every image to a square of this many pixels",
    )


def add_attack(parser: Any, *, images: str = "all") -> None:
    """Adds the attack, the number of images and the seed; images : the default number, as text."""
    parser.add_argument(
        "--attack",
        choices=["none", *ATTACK_OPTIONS],
        default="pgd",
        metavar="NAME",
        help=f"none, {', '.join(ATTACK_OPTIONS)}; standard is PGD-10, PGD-50 with 5 restarts and "
        "AutoAttack, each on the images that the ones before did not fool (default pgd)",
    )
    parser.add_argument(
        "--norm", choices=["linf", "l2"], help="of the ball: ℓ∞ (default), or ℓ2, which needs --eps"
    )
    parser.add_argument(
        "--eps",
        type=_radius,
        metavar="E",
        help="the largest change of a pixel (ℓ2: of the whole image), images being in [0, 1]: 0.15 "
        "or 8/255 (default: 0.15 for the digits, 8/255 for other networks)",
    )
    parser.add_argument(
        "--steps",
        type=positive_int,
        metavar="K",
        help="steps of the attack (default: 20 for pgd, 100 for apgd and fab)",
    )
    parser.add_argument(
        "--restarts",
        type=positive_int,
        metavar="R",
        help="attempts per image; it counts as correct if none succeeds (default 1)",
    )
    parser.add_argument(
        "--queries",
        type=positive_int,
        metavar="Q",
        help="forward passes per image that square may use (default 5000)",
    )
    parser.add_argument(
        "--n",
        type=positive_int,
        metavar="N",
        help=f"number of images, with equal classes (default {images})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="chooses images and noise (default 0)"
    )


def add_study(parser: Any) -> None:
    """Adds what `sweep` and `search` measure: network, images, source of the plans, attack."""
    add_model(parser, optional=True)
    add_weights(parser)
    add_data(parser)
    parser.add_argument(
        "--from",
        dest="sources",
        type=names,
        default=("weights",),
        metavar="A,B",
        help="what plans are computed from: weights; refit, the same refitted on images; data, "
        "the layers' errors on images (default weights)",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE.npz",
        help="images x, and labels y, for refit, data and α; other images than those of --data; "
        "bundled networks have their own",
    )
    add_attack(parser, images="at most 360")


def add_runtime(parser: Any, *, default: str | None) -> None:
    """Adds the runtime whose milliseconds are measured; default : None for none."""
    choices = ("onnxruntime",) if default is None else ("onnxruntime", "torch")
    purpose = (
        "write model.onnx in the form that ONNX Runtime computes fastest here, by measuring"
        if default is None
        else f"the runtime that is timed: {' or '.join(choices)} (default {default})"
    )
    parser.add_argument("--runtime", choices=choices, default=default, help=purpose)
    parser.add_argument(
        "--batch", type=positive_int, default=1, metavar="N", help="images at once (default 1)"
    )
    parser.add_argument(
        "--threads", type=positive_int, default=1, metavar="T", help="of the runtime (default 1)"
    )


def add_execution(parser: Any) -> None:
    """Adds where `sweep` and `search` keep their records, and which processes measure."""
    add_storage(parser)
    parser.add_argument("--workers", type=positive_int, metavar="N", help="measure in N processes")
    parser.add_argument(
        "--scheduler", metavar="URL", help="measure on the Dask cluster at tcp://host:port"
    )
    add_json(parser)


def add_storage(parser: Any, *, positional: bool = False) -> None:
    """Adds the file that keeps the records."""
    help_text = f"the file that keeps the records (default {STORAGE})"
    if positional:
        parser.add_argument(
            "storage", metavar="STORAGE", nargs="?", default=STORAGE, help=help_text
        )
    else:
        parser.add_argument("--storage", default=STORAGE, metavar="STORAGE", help=help_text)


def add_json(parser: Any) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


# -- types of values -----------------------------------------------------------------------


def positive_int(text: str) -> int:
    """Reads a whole number from 1 up."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return number


def names(text: str) -> tuple[str, ...]:
    """Reads names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _radius(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; write 0.15 or 8/255") from None
