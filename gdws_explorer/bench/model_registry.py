"""A network by its name: the papers' for CIFAR, torchvision's, timm's."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gdws_explorer.bench import cifar_models
from gdws_explorer.bench.checkpoint import load_checkpoint
from gdws_explorer.bench.torchvision_import import torchvision
from gdws_explorer.errors import ModelError
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.rng import exclusive_rng

CIFAR: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": cifar_models.resnet18,
    "resnet50": cifar_models.resnet50,
    "preactresnet18": cifar_models.preactresnet18,
    "preactresnet18-bn": partial(cifar_models.preactresnet18, last=True),
    "preactresnet18-early": partial(cifar_models.preactresnet18, early=True),
    "vgg16": cifar_models.vgg16,
    "vgg16-hydra": partial(cifar_models.vgg16, hydra=True),
    "wrn-28-4": partial(cifar_models.wide_resnet, 28, 4),
    "wrn-28-10": partial(cifar_models.wide_resnet, 28, 10),
    "wrn-34-10": partial(cifar_models.wide_resnet, 34, 10),
}


def load_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | bool | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """A network by name, in eval mode, for images `(N, C, H, W)` in [0, 1].

    Parameters
    ----------
    name : "cifar:preactresnet18" and the others that `model_names("cifar")` lists;
        "torchvision:resnet50", or without its prefix "resnet50"; "timm:resnet50.a1_in1k".
    weights : None for random ones; the path of a checkpoint, as in `load_checkpoint`; True for
        the published ones of torchvision or timm, or what torchvision calls one set of several,
        such as "IMAGENET1K_V1". Published ones are downloaded where they are not at hand, and come
        with their normalisation in a `Normalized`. Nothing is downloaded otherwise.
    classes : how many; the network's own number (10, or ImageNet's 1000) by default.
    seed : of the random weights; torch's random numbers stay as they are.

    Raises ModelError.
    """
    zoo, _, plain = name.rpartition(":") if isinstance(name, str) else ("?", "", "")
    zoo = zoo or "torchvision"
    makers: dict[str, Callable[[str, Any, int | None], nn.Module]] = {
        "cifar": _cifar,
        "torchvision": _torchvision,
        "timm": _timm,
    }
    if zoo not in makers:
        raise ModelError(
            f'there is no network {name!r}; expected a name such as "cifar:resnet18", '
            '"torchvision:resnet50" or "timm:resnet50".'
        )
    if classes is not None:
        expected = "a whole number above 0, or None"
        classes = checked_whole("classes", classes, error=ModelError, expected=expected)
    file = _file(weights)
    published = None if file is not None or not weights else weights
    with exclusive_rng(torch.device("cpu")):
        torch.manual_seed(seed)
        model = makers[zoo](plain, published, classes)
    return model.eval() if file is None else load_checkpoint(file, model)


def model_names(zoo: str) -> tuple[str, ...]:
    """What `load_model` knows of "cifar", "torchvision" (classifiers) or "timm"."""
    if zoo == "cifar":
        return tuple(CIFAR)
    if zoo == "torchvision":
        models = torchvision().models
        return tuple(models.list_models(module=models))
    if zoo == "timm":
        return tuple(_timm_package().list_models())
    raise ModelError(f'there is no zoo {zoo!r}; expected "cifar", "torchvision" or "timm".')


def _cifar(name: str, published: Any, classes: int | None) -> nn.Module:
    if name not in CIFAR:
        raise _unknown("cifar", name, CIFAR)
    if published is not None:
        raise ModelError(
            f"cifar:{name} has no weights to download; give the path of a checkpoint as weights."
        )
    return CIFAR[name](10 if classes is None else classes)


def _torchvision(name: str, published: Any, classes: int | None) -> nn.Module:
    models = torchvision().models
    if name not in model_names("torchvision"):
        raise _unknown("torchvision", name, model_names("torchvision"))
    if published is None:
        return models.get_model(
            name, weights=None, **({} if classes is None else {"num_classes": classes})
        )
    sets = models.get_model_weights(name)
    chosen = "DEFAULT" if published is True else published
    if chosen not in sets.__members__:
        raise ModelError(
            f"torchvision:{name} has no weights {published!r}, and no such file exists; expected "
            f"True, a file, or one of {', '.join(sets.__members__)}."
        )
    entry = sets[chosen]
    _same_classes(f"torchvision:{name}", classes, len(entry.meta["categories"]))
    try:
        # torchvision's own way to load the file would unpickle it: this reads it safely first, and
        # leaves the very file, checked against its hash, for that.
        entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        model = models.get_model(name, weights=entry)
    except Exception as error:
        raise _not_fetched(f"torchvision:{name}", error) from error
    taken = entry.transforms()
    return Normalized(model, taken.mean, taken.std)


def _timm(name: str, published: Any, classes: int | None) -> nn.Module:
    timm = _timm_package()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    if published not in (None, True):
        raise ModelError(
            f"there is no file {published}; expected one, or True for the weights of timm: a set "
            f'is part of the name there, as in "timm:resnet50.a1_in1k".'
        )
    if published is None:
        return timm.create_model(
            name, pretrained=False, **({} if classes is None else {"num_classes": classes})
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:
        raise _not_fetched(f"timm:{name}", error) from error
    _same_classes(f"timm:{name}", classes, model.num_classes)
    return Normalized(model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])


def _timm_package() -> Any:
    try:
        torchvision()  # timm imports it, and this knows how
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ModelError(
            "timm is not installed; install it with: pip install timm, or take a network of "
            "torchvision."
        ) from error


def _file(weights: Any) -> Path | None:
    """The checkpoint that `weights` names, None where it is a name of a set or no text."""
    if not isinstance(weights, str | os.PathLike):
        return None
    path = Path(weights)
    is_path = not isinstance(weights, str) or path.suffix or len(path.parts) > 1 or path.is_file()
    return path if is_path else None


def _same_classes(title: str, wanted: int | None, has: int) -> None:
    if wanted not in (None, has):
        raise ModelError(
            f"the published weights of {title} have {has} classes, not {wanted}; leave classes "
            "out, or take random weights."
        )


def _unknown(zoo: str, name: str, known: Iterable[str]) -> ModelError:
    near = [f"{zoo}:{each}" for each in difflib.get_close_matches(name, known, n=3)]
    if zoo != "cifar":
        near += [f"cifar:{each}" for each in difflib.get_close_matches(name, CIFAR, n=2)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"model_names({zoo!r}) lists them."
    return ModelError(f"there is no network {zoo}:{name}; {hint}")


def _not_fetched(title: str, error: Exception) -> ModelError:
    return ModelError(
        f"the weights of {title} cannot be had ({first_line(error)}); connect to the network, or "
        "give the path of a file."
    )
