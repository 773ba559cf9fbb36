"""Import of torchvision on demand, which also works with a torch of another build."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any, cast

import torch

from gdws_explorer.errors import ExplorerError

# The compiled operators that torchvision's Python code needs when it is imported.
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision() -> Any:
    """Returns the package torchvision, with `datasets`, `models` and `transforms` loaded.

    Its compiled operators do not load if torch is of another build. Then the two operators that the
    import needs are declared without code, and one warning says this: data sets, transforms and
    classifiers do not use them. Raises ExplorerError where torchvision is not installed.
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
        # Declaring the operators first would break a working installation.
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = cast(Any, torch.library).Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    package = _imported()
    package._declared_operators = library  # the declarations end with this object
    warnings.warn_explicit(
        "torchvision's compiled operators do not load with this torch: detection models do not "
        "work; data sets, transforms and classifiers do. Install the torchvision of the same build "
        "to remove this warning.",
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
