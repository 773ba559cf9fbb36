"""What the commands are given: networks by name or file, weights, images, attacks."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdws_explorer.errors import DataError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gdws_explorer.robust.attacks import Attack


def model_of(name: str, file: str | None) -> tuple[nn.Module, Any]:
    """The network that MODEL and --weights mean, and its bench if it has one."""
    if ":" in name:
        model, bench = _made(name), None
    else:
        bench = _bench(name)
        model = bench.model
    if file is not None:
        _load_weights(model, Path(file))
    return model, bench


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


def _load_weights(model: nn.Module, path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix in (".pt", ".pth"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = load_file(path)
        model.load_state_dict(state.get("state_dict", state))
    except Exception as error:
        # torch lists what does not fit on the lines after the first.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the weights {path} cannot be loaded: {' '.join(line.strip() for line in lines[:2])}"
        ) from error


def data_of(file: str | None, bench: Any) -> tuple[Tensor, Tensor]:
    """The images `(N, C, H, W)` in [0, 1] and labels `(N,)` of --data, or the bench's."""
    if file is not None:
        from gdws_explorer.bench.data import load_data

        return load_data(Path(file))
    if bench is None:
        raise DataError("a network of your own needs --data file.npz with arrays x and y.")
    if bench.data is None:
        raise DataError(
            f"the images of {bench.name} are not at hand; give --data file.npz, or name their "
            "folder in the environment variable GDWS_EXPLORER_CIFAR10."
        )
    return bench.data


def attack_of(options: argparse.Namespace, bench: Any) -> Attack | None:
    """What --attack, --eps and --steps mean."""
    from gdws_explorer.robust.attacks import FGSM, PGD

    if options.attack != "pgd" and options.steps is not None:
        raise DataError("--steps is for --attack pgd.")
    if options.attack == "none":
        if options.eps is not None:
            raise DataError("--eps needs an attack: --attack fgsm or pgd.")
        return None
    eps = options.eps
    if eps is None:
        eps = 8 / 255 if bench is None else bench.attack.eps
    return FGSM(eps) if options.attack == "fgsm" else PGD(eps, steps=options.steps or 20)


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    words = lines[0] if lines else type(error).__name__
    return f"no array {words}" if isinstance(error, KeyError) else words.rstrip(".")
