"""Networks by name: the papers' for CIFAR, torchvision's, timm's."""

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
    num_classes: int | None = None,
    pretrained: bool | None = None,
) -> nn.Module:
    """Returns a network by name, in eval mode, for images `(N, C, H, W)` in [0, 1].

    Parameters
    ----------
    name : "cifar:preactresnet18" and the other names in `model_names("cifar")`;
        "torchvision:resnet50", or "resnet50" without the prefix; "timm:resnet50.a1_in1k".
    weights : None for random ones; the path of a checkpoint, as in `load_checkpoint`; True for the
        published weights of torchvision or timm; or torchvision's name of one of several sets,
        such as "IMAGENET1K_V1". Published weights are downloaded if they are not on this machine,
        and are returned with their normalisation, in a `Normalized`. Nothing else is downloaded.
    classes : the number of classes; by default that of the network, 10 or ImageNet's 1000.
    seed : the seed of the random weights; torch's random generator is not changed.
    num_classes, pretrained : timm's words: `num_classes` for `classes`, `pretrained=True` for
        `weights=True`.

    Raises
    ------
    ModelError : unknown name, weights that do not fit, or two words for one setting that differ.

    Examples
    --------
    >>> load_model("cifar:resnet18", num_classes=3).linear
    Linear(in_features=512, out_features=3, bias=True)
    """
    classes = _same_setting("classes", classes, "num_classes", num_classes)
    if pretrained is not None:
        weights = _same_setting("weights", weights, "pretrained", bool(pretrained))
    registry, _, plain = name.rpartition(":") if isinstance(name, str) else ("?", "", "")
    registry = registry or "torchvision"
    makers: dict[str, Callable[[str, Any, int | None], nn.Module]] = {
        "cifar": _cifar,
        "torchvision": _torchvision,
        "timm": _timm,
    }
    if registry not in makers:
        raise ModelError(
            f'unknown network {name!r}; expected a name such as "cifar:resnet18", '
            '"torchvision:resnet50" or "timm:resnet50".'
        )
    if classes is not None:
        expected = "a whole number above 0, or None"
        classes = checked_whole("classes", classes, error=ModelError, expected=expected)
    file = _file(weights)
    published = None if file is not None or not weights else weights
    with exclusive_rng(torch.device("cpu")):
        torch.manual_seed(seed)
        model = makers[registry](plain, published, classes)
    return model.eval() if file is None else load_checkpoint(file, model)


def model_names(registry: str) -> tuple[str, ...]:
    """Returns the names of the networks in "cifar", "torchvision" (classifiers) or "timm"."""
    if registry == "cifar":
        return tuple(CIFAR)
    if registry == "torchvision":
        models = torchvision().models
        return tuple(models.list_models(module=models))
    if registry == "timm":
        return tuple(_timm_package().list_models())
    raise ModelError(f'unknown registry {registry!r}; expected "cifar", "torchvision" or "timm".')


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
        random: nn.Module = models.get_model(
            name, weights=None, **({} if classes is None else {"num_classes": classes})
        )
        return random
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
        # torchvision itself would unpickle the file. This downloads it, checks its hash and reads
        # it safely, before torchvision opens the same file.
        entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        model = models.get_model(name, weights=entry)
    except Exception as error:
        raise _not_downloaded(f"torchvision:{name}", error) from error
    transforms = entry.transforms()
    return Normalized(model, transforms.mean, transforms.std)


def _timm(name: str, published: Any, classes: int | None) -> nn.Module:
    timm = _timm_package()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    if published not in (None, True):
        raise ModelError(
            f"there is no file {published}; expected one, or True for the weights of timm, where "
            f'the set is a part of the name, as in "timm:resnet50.a1_in1k".'
        )
    if published is None:
        random: nn.Module = timm.create_model(
            name, pretrained=False, **({} if classes is None else {"num_classes": classes})
        )
        return random
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:
        raise _not_downloaded(f"timm:{name}", error) from error
    _same_classes(f"timm:{name}", classes, model.num_classes)
    return Normalized(model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])


def _timm_package() -> Any:
    try:
        torchvision()  # timm imports it; this works with a torch of another build, too
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


def _same_classes(title: str, requested: int | None, has: int) -> None:
    if requested not in (None, has):
        raise ModelError(
            f"the published weights of {title} have {has} classes, not {requested}; leave classes "
            "out, or take random weights."
        )


def _unknown(registry: str, name: str, known: Iterable[str]) -> ModelError:
    near = [f"{registry}:{each}" for each in difflib.get_close_matches(name, known, n=3)]
    if registry != "cifar":
        near += [f"cifar:{each}" for each in difflib.get_close_matches(name, CIFAR, n=2)]
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"model_names({registry!r}) lists them."
    )
    return ModelError(f"unknown network {registry}:{name}; {hint}")


def _same_setting(name: str, value: Any, other_name: str, other: Any) -> Any:
    """The setting that is given under one of two names, or under both with the same value."""
    if other is None:
        return value
    if value is not None and value != other:
        raise ModelError(
            f"{name} is {value!r} and {other_name} is {other!r}; give one of them: both mean the "
            "same."
        )
    return other


def _not_downloaded(title: str, error: Exception) -> ModelError:
    return ModelError(
        f"the weights of {title} cannot be downloaded ({first_line(error)}); connect to the "
        "internet, or give the path of a file."
    )
