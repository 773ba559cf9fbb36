"""The inputs of the commands: networks by name or file, weights, images, attacks."""

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

from gdws_explorer.cli.parser import ATTACK_OPTIONS
from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.utils.format import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gdws_explorer.bench import Bench
    from gdws_explorer.robust.attack_base import Attack
    from gdws_explorer.robust.sequence import AttackSequence

REGISTRIES = ("cifar", "torchvision", "timm")


def read_model(options: argparse.Namespace) -> tuple[nn.Module, Bench | None]:
    """Returns the network of MODEL, --weights, --key and --classes, and its bench if bundled.

    Raises ModelError, DataError.
    """
    name, weights = options.model, options.weights
    if name.partition(":")[0] in REGISTRIES and ":" in name:
        return _registered_model(name, weights, options.key, options.classes), None
    if options.classes is not None:
        raise ModelError("--classes is for networks named cifar:…, torchvision:… or timm:….")
    if ":" in name:
        return _with_weights(_model_from_factory(name), weights, options.key), None
    bench = _bundled(name)
    return _with_weights(bench.model, weights, options.key), bench


def read_data(options: argparse.Namespace, bench: Bench | None) -> tuple[Tensor, Tensor]:
    """Returns the images `(N, C, H, W)` in [0, 1] and labels `(N,)` of --data, or the bench's."""
    source = options.data
    if source is not None:
        from gdws_explorer.bench.data import load_data

        # Folders and data sets are not read as a whole: this is the sample that `evaluate` takes.
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
            f"the images of {bench.name} are not on this machine; give --data file.npz, or name "
            "their folder in the environment variable GDWS_EXPLORER_CIFAR10."
        )
    return bench.data


def make_attack(options: argparse.Namespace, bench: Bench | None) -> Attack | AttackSequence | None:
    """Returns the attack of --attack, --eps and its other options; None for `--attack none`."""
    from gdws_explorer.robust import attacks
    from gdws_explorer.robust.sequence import standard_sequence

    name = options.attack
    accepted = ATTACK_OPTIONS.get(name, ())
    settings = {}
    for option in ("norm", "steps", "restarts", "queries"):
        value = getattr(options, option)
        if value is None:
            continue
        if option not in accepted:
            fits = ", ".join(each for each, known in ATTACK_OPTIONS.items() if option in known)
            raise DataError(f"--{option} is for --attack {fits}; {name} does not accept it.")
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


def let_workers_import(model: str) -> None:
    """Puts the folder of the module in `module:factory` on sys.path, for worker processes."""
    module = model.rpartition(":")[0]
    folder = Path(module).resolve().parent if module.endswith(".py") else Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


# -- networks ------------------------------------------------------------------------------


def _bundled(name: str) -> Bench:
    from gdws_explorer.bench import load

    try:
        return load(name)
    except DataError as error:
        hint = "A network of your own is package.module:factory or file.py:factory."
        raise DataError(f"{error} {hint}") from error


def _registered_model(
    name: str, weights: str | None, key: str | None, classes: int | None
) -> nn.Module:
    from gdws_explorer.bench.model_registry import load_model

    if weights == "published":
        return load_model(name, weights=True, classes=classes)
    return _with_weights(load_model(name, classes=classes), weights, key)


def _with_weights(model: nn.Module, file: str | None, key: str | None) -> nn.Module:
    """The network with the weights of a file, where one is given."""
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
    """A message without its line breaks; lines of Python become one `python -c` command."""
    head, *code = (line.strip() for line in message.splitlines())
    if not code:
        return head
    head = head.replace("with these three lines", "by this command")
    return f'{head} python -c "{"; ".join(code)}"'


def _model_from_factory(name: str) -> nn.Module:
    """The result of `package.module:factory` or `file.py:factory`."""
    from torch import nn

    module, _, factory_name = name.rpartition(":")
    try:
        factory: Any = (
            _import_file(Path(module)) if module.endswith(".py") else _import_module(module)
        )
        for part in factory_name.split("."):
            factory = getattr(factory, part)
        model = factory()
    except Exception as error:  # the user's own code may raise anything
        raise ModelError(f"{name} cannot be used: {first_line(error).rstrip('.')}.") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returns {type(model).__name__}; expected a torch.nn.Module.")
    return model


def _import_module(name: str) -> Any:
    with _on_path(Path.cwd()):
        return importlib.import_module(name)


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and copies look up their module; a library of the same name keeps its place.
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
