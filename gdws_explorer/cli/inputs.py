"""What the commands are given: networks by name or file, weights, images, attacks."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.cli.parser import TAKES
from gdws_explorer.errors import DataError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gdws_explorer.robust.attack_base import Attack
    from gdws_explorer.robust.sequence import AttackSequence

ZOOS = ("cifar", "torchvision", "timm")


def model_of(options: argparse.Namespace) -> tuple[nn.Module, Any]:
    """The network that MODEL, --weights, --key and --classes mean, and its bench if it has one."""
    name, file = options.model, options.weights
    if name.partition(":")[0] in ZOOS and ":" in name:
        return _known(name, file, options.key, options.classes), None
    if options.classes is not None:
        raise ModelError("--classes is for networks named cifar:…, torchvision:… or timm:….")
    if ":" in name:
        model, bench = _made(name), None
    else:
        bench = _bench(name)
        model = bench.model
    return _weighted(model, file, options.key), bench


def _known(name: str, file: str | None, key: str | None, classes: int | None) -> nn.Module:
    """One of gx.load_model's."""
    from gdws_explorer.bench.model_registry import load_model

    if file == "published":
        return load_model(name, weights=True, classes=classes)
    return _weighted(load_model(name, classes=classes), file, key)


def _weighted(model: nn.Module, file: str | None, key: str | None) -> nn.Module:
    """The network with the weights of a file, if there is one."""
    from gdws_explorer.bench.checkpoint import load_checkpoint

    if file is None:
        if key is not None:
            raise ModelError("--key needs --weights, the file that holds several networks.")
        return model
    try:
        return load_checkpoint(file, model, key=key)
    except ModelError as error:
        raise ModelError(_one_line(f"{error}")) from error


def _one_line(message: str) -> str:
    """A message without its line ends; lines of Python become one command."""
    head, *code = (line.strip() for line in message.splitlines())
    if not code:
        return head
    head = head.replace("with these three lines", "by this command")
    return f'{head} python -c "{"; ".join(code)}"'


def _bench(name: str) -> Any:
    from gdws_explorer import bench

    try:
        return bench.load(name)
    except FileNotFoundError as error:
        raise DataError(f"{error}") from error
    except DataError as error:
        hint = "A network of your own is package.module:factory or file.py:factory."
        raise DataError(f"{error} {hint}") from error


def _made(spec: str) -> nn.Module:
    from torch import nn

    module, _, name = spec.rpartition(":")
    try:
        found: Any = _file_module(Path(module)) if module.endswith(".py") else _module(module)
        for part in name.split("."):
            found = getattr(found, part)
        model = found()
    except Exception as error:
        raise ModelError(f"{spec} cannot be used: {_reason(error)}.") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returns {type(model).__name__}; expected a torch.nn.Module.")
    return model


def _module(name: str) -> Any:
    with _on_path(Path.cwd()):
        return importlib.import_module(name)


def _file_module(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and copies look their module up; a library's name is not taken from it.
    sys.modules.setdefault(path.stem, module)
    with _on_path(path.resolve().parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def data_of(options: argparse.Namespace, bench: Any) -> tuple[Tensor, Tensor]:
    """The images `(N, C, H, W)` in [0, 1] and labels `(N,)` of --data, or the bench's."""
    source = options.data
    if source is not None:
        from gdws_explorer.bench.data import load_data

        # Of folders and data sets only the sample is read; it is the one `evaluate` would take.
        n = None if source.endswith(".npz") else options.n
        return load_data(
            source,
            n=n,
            seed=options.seed,
            size=options.size,
            root=options.root,
            download=options.download,
        )
    if bench is None:
        raise DataError("a network of your own needs --data file.npz with arrays x and y.")
    if bench.data is None:
        raise DataError(
            f"the images of {bench.name} are not at hand; give --data file.npz, or name their "
            "folder in the environment variable GDWS_EXPLORER_CIFAR10."
        )
    return bench.data


def attack_of(options: argparse.Namespace, bench: Any) -> Attack | AttackSequence | None:
    """What --attack, --eps and the options beside them mean."""
    from gdws_explorer.robust import attacks
    from gdws_explorer.robust.sequence import standard_sequence

    name = options.attack
    takes = TAKES.get(name, ())
    settings = {}
    for option in ("norm", "steps", "restarts", "queries"):
        value = getattr(options, option)
        if value is None:
            continue
        if option not in takes:
            fits = ", ".join(each for each, known in TAKES.items() if option in known)
            raise DataError(f"--{option} is for --attack {fits}; there is none for {name}.")
        settings[option] = value
    if name == "none":
        if options.eps is not None:
            raise DataError("--eps needs an attack: --attack fgsm, pgd or another.")
        return None
    eps = options.eps
    if eps is None:
        if options.norm == "l2":
            raise DataError("--norm l2 needs --eps, such as 128/255.")
        eps = 8 / 255 if bench is None else bench.attack.eps
    if name == "standard":
        return standard_sequence(eps)
    makers: dict[str, Callable[..., Attack]] = {
        "fgsm": attacks.FGSM,
        "pgd": attacks.PGD,
        "apgd": attacks.APGD,
        "apgd-dlr": partial(attacks.APGD, loss="dlr"),
        "apgd-t": partial(attacks.APGD, targeted=True),
        "fab": attacks.FAB,
        "square": attacks.Square,
        "autoattack": attacks.AutoAttack,
    }
    return makers[name](eps, **settings)


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    words = lines[0] if lines else type(error).__name__
    return f"no array {words}" if isinstance(error, KeyError) else words.rstrip(".")
