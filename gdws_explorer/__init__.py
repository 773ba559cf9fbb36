"""GDWS Explorer: compress convolutional networks by hand, and see what it costs them.

The public names; README.md keeps one page of them. Importing this needs no notebook, no
ipywidgets and no plotly: `explore` loads them when it is called.
"""

# The rooms `explore` and `export` are loaded first, so that the functions of the same names,
# bound below, keep them: Python binds a submodule to its package only when it first loads it.
from gdws_explorer import explore as _explore_room  # noqa: F401
from gdws_explorer import export as _export_room  # noqa: F401

from gdws_explorer.bench import Bench, load  # isort: skip
from gdws_explorer.bench.checkpoint import load_checkpoint
from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.zoo import load_model
from gdws_explorer.errors import (
    BudgetError,
    Cancelled,
    DataError,
    ExplorerError,
    ModelError,
    PlanError,
    TrainingError,
)
from gdws_explorer.export.bundle import export, restore
from gdws_explorer.factorize import gdws, svd, tucker
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.many import search, sweep
from gdws_explorer.network.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.opening import explore
from gdws_explorer.robust.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square
from gdws_explorer.robust.compare import compare
from gdws_explorer.robust.evaluate import evaluate
from gdws_explorer.robust.masking import check_masking
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.staged import Staged
from gdws_explorer.training import Recipe, Rule, cstar, finetune, train

__version__ = "0.1.0"

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "GDWS",
    "PGD",
    "SVD",
    "AutoAttack",
    "Bench",
    "BudgetError",
    "Cancelled",
    "DataError",
    "Dense",
    "ExplorerError",
    "GDWSConv2d",
    "ModelError",
    "Network",
    "Normalized",
    "Plan",
    "PlanError",
    "Recipe",
    "Report",
    "Rule",
    "SpatialSVD",
    "Square",
    "Staged",
    "TrainingError",
    "Tucker2",
    "Tucker2Conv2d",
    "check_masking",
    "compare",
    "cstar",
    "evaluate",
    "explore",
    "export",
    "finetune",
    "gdws",
    "load",
    "load_checkpoint",
    "load_data",
    "load_model",
    "restore",
    "search",
    "svd",
    "sweep",
    "train",
    "tucker",
]
