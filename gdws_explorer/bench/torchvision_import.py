"""The one place that imports torchvision: on demand, and beside a torch of another build."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import torch

from gdws_explorer.errors import ExplorerError

# What torchvision's Python code expects of its compiled part when it is imported.
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision() -> Any:
    """The package torchvision, with `datasets`, `models` and `transforms` loaded.

    Where its compiled operators do not load, which is so beside a torch of another build, the two
    it cannot be imported without are declared, without code behind them, and one warning says so:
    data sets, transforms and classifiers need none. Raises ExplorerError where it is missing.
    """
    try:
        return _imported()
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise ExplorerError(
            "this needs torchvision, which is not installed; install it with: "
            'pip install "gdws-explorer[vision]"'
        ) from error
    except RuntimeError as error:
        # Declaring the operators first would break an installation that is whole.
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    package = _imported()
    package._declared_operators = library  # they live as long as this object
    warnings.warn_explicit(
        "torchvision's compiled operators do not load beside this torch, so detection models will "
        "not work; data sets, transforms and classifiers do. Install the torchvision of the same "
        "build to be rid of this.",
        RuntimeWarning,
        str(package.__file__),
        1,
        module="torchvision",
    )
    return package


def _imported() -> Any:
    package = importlib.import_module("torchvision")
    for part in ("datasets", "models", "transforms"):
        importlib.import_module(f"torchvision.{part}")
    return package
