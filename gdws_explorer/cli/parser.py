"""The words that `gdws-explorer` understands, and its help."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

from gdws_explorer import __version__

MODEL_HELP = (
    "a bundled network (digits, digits-plain, cifar10); cifar:NAME, torchvision:NAME or timm:NAME "
    "as gx.load_model knows them; or package.module:factory or file.py:factory: a function or "
    "class that is called without arguments and returns a torch.nn.Module"
)
# Which options an attack takes, beside --eps.
TAKES: dict[str, tuple[str, ...]] = {
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


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `.command` is the command's name."""
    from gdws_explorer.cli.many_parser import add_many  # it takes its helpers from here

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
    add_many(commands)
    return whole


def command(commands: Any, name: str, purpose: str, examples: str) -> Any:
    """Add a command, with its help."""
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
    lab = command(
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
    train = command(
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
    evaluate = command(
        commands,
        "evaluate",
        "measure a network's accuracy, as it is and under attack",
        "  gdws-explorer evaluate\n"
        "  gdws-explorer evaluate digits --plan chosen/plan.json --eps 0.1 --n 200\n"
        "  gdws-explorer evaluate nets.py:resnet --weights resnet.safetensors \\\n"
        "      --data cifar10.npz --attack pgd --eps 8/255 --steps 50 --json\n"
        "  gdws-explorer evaluate cifar:resnet18 --weights best.pt --data cifar10 --n 1000 \\\n"
        "      --attack standard --device cuda --resume run.json",
    )
    evaluate.add_argument("model", metavar="MODEL", nargs="?", default="digits", help=MODEL_HELP)
    add_weights(evaluate)
    add_data(evaluate)
    evaluate.add_argument(
        "--plan", metavar="plan.json", help="compress the network by this plan first"
    )
    add_attack(evaluate)
    evaluate.add_argument(
        "--through",
        choices=["dense", "layers"],
        default="dense",
        help="attack compressed layers through their rebuilt dense kernel, faster and equal up "
        "to rounding, or as they are (default dense)",
    )
    evaluate.add_argument(
        "--device", metavar="D", help="where to compute: cpu, cuda or mps (default cpu)"
    )
    evaluate.add_argument(
        "--resume",
        metavar="FILE",
        help="keeps the verdicts batch by batch; the same command goes on from it after a stop",
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")


def _add_apply(commands: Any) -> None:
    apply = command(
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
    add_weights(apply)
    apply.add_argument("--no-onnx", action="store_true", help="leave model.onnx out")


def add_weights(command: Any) -> None:
    """The weights of a command's network."""
    command.add_argument(
        "--weights",
        metavar="FILE",
        help="the network's state_dict: .safetensors, or .pt, .pth and the like (tensors only, "
        "nothing in them is executed); of torchvision: and timm: networks also the word "
        "published, which may download",
    )
    command.add_argument(
        "--key", metavar="KEY", help="which network of a checkpoint with several, such as ema"
    )
    command.add_argument(
        "--classes", type=count, metavar="N", help="of a cifar:, torchvision: or timm: network"
    )


def add_data(command: Any) -> None:
    """The images that a command measures on."""
    command.add_argument(
        "--data",
        metavar="SOURCE",
        help="an .npz with images x (N, C, H, W), floats in [0, 1] or bytes 0 to 255, and labels "
        "y (N,); a folder with one folder of images per class; or a torchvision data set by name, "
        "such as cifar10; the digits bring their own, CIFAR-10's folder is named in "
        "GDWS_EXPLORER_CIFAR10",
    )
    command.add_argument(
        "--root", metavar="FOLDER", help="where a named data set's files are (default: our cache)"
    )
    command.add_argument(
        "--download", action="store_true", help="fetch a named data set; nothing is otherwise"
    )
    command.add_argument(
        "--size", type=count, metavar="PIXELS", help="make every image so many pixels square"
    )


def add_attack(command: Any, images: str = "all") -> None:
    """What a command attacks with, how many images (in words, the default), and the seed."""
    command.add_argument(
        "--attack",
        choices=["none", *TAKES],
        default="pgd",
        metavar="NAME",
        help=f"none, {', '.join(TAKES)}; standard is PGD-10, PGD-50 with 5 restarts and "
        "AutoAttack, each on what the ones before left standing (default pgd)",
    )
    command.add_argument(
        "--norm", choices=["linf", "l2"], help="of the ball: ℓ∞ (default), or ℓ2, which needs --eps"
    )
    command.add_argument(
        "--eps",
        type=_radius,
        metavar="E",
        help="how far one pixel may move (ℓ2: the whole image), images being in [0, 1]: 0.15 or "
        "8/255 (default: 0.15 for bundled networks, 8/255 for others)",
    )
    command.add_argument(
        "--steps", type=count, metavar="K", help="steps (default: 20 for pgd, 100 for apgd, fab)"
    )
    command.add_argument(
        "--restarts", type=count, metavar="R", help="tries, the worst counts (default 1)"
    )
    command.add_argument(
        "--queries", type=count, metavar="Q", help="questions that square asks (default 5000)"
    )
    command.add_argument(
        "--n", type=count, metavar="N", help=f"how many images, classes balanced (default {images})"
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="S", help="chooses images and noise (default 0)"
    )


def _radius(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write 0.15 or 8/255") from None


def count(text: str) -> int:
    """A whole number from 1 up."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return number
