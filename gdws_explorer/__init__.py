"""GDWS Explorer: compress convolutional networks by hand, and see what it costs them.

The public names; README.md keeps one page of them. Importing this needs no notebook, no
ipywidgets and no plotly: `explore` loads them when it is called.
"""

from gdws_explorer.api import explore, search, sweep
from gdws_explorer.bench import Bench, load
from gdws_explorer.bench.checkpoint import load_checkpoint
from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.model_registry import load_model
from gdws_explorer.bundle.export_folder import export, restore
from gdws_explorer.errors import (
    BudgetError,
    Cancelled,
    DataError,
    ExplorerError,
    ModelError,
    PlanError,
    TrainingError,
)
from gdws_explorer.factorize import gdws, svd, tucker
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.factorize.tucker import Tucker2Conv2d
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.gradient_masking import check_masking
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.robust.paired_difference import compare
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.training import RankRule, Recipe, cstar, finetune, train

Staged, Rule = AttackSequence, RankRule  # their names of version 0.1

__version__ = "0.1.0"

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "GDWS",
    "PGD",
    "SVD",
    "AttackSequence",
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
    "RankRule",
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
