"""GDWS Explorer: compress convolutional networks, and see what it costs their accuracy.

These are the public names; README.md explains each. Importing the package needs no notebook, no
ipywidgets and no plotly: what needs them is imported at its first use.
"""

from typing import TYPE_CHECKING

from gdws_explorer.api import SearchResult, explore, search, sweep
from gdws_explorer.bench import Bench, load
from gdws_explorer.bench.checkpoint import load_checkpoint
from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.model_registry import load_model
from gdws_explorer.bench.target import DEFAULT_ATTACK
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
from gdws_explorer.factorize.gdws import GDWSConv2d, GDWSSpectrum, TripletRanking
from gdws_explorer.factorize.svd import SpatialSVDSpectrum, SVDSpectrum
from gdws_explorer.factorize.tucker import Tucker2Conv2d, Tucker2Spectrum
from gdws_explorer.network.budget.allocation import ParetoTable
from gdws_explorer.network.budget.solver import BudgetSolution
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.cost import LayerSummary, Summary
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.gradient_masking import MaskingReport, check_masking
from gdws_explorer.robust.masking_signs import MaskingSign
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.robust.paired_difference import PairedDifference, compare
from gdws_explorer.robust.report import PartialReport, Report
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.training.callbacks import EpochInfo, EpochRecord, StepInfo
from gdws_explorer.training.cstar_style.cstar_training import CstarProgress, cstar
from gdws_explorer.training.cstar_style.rank_budget import RankRule
from gdws_explorer.training.finetuning import CompressedModel, finetune
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_model import train
from gdws_explorer.typing import Progress
from gdws_explorer.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from gdws_explorer import nn
    from gdws_explorer import widgets as widgets
    from gdws_explorer.session.session import Session
    from gdws_explorer.study.runner import StudyProgress
    from gdws_explorer.widgets.explorer import Explorer as Explorer

__version__ = "0.2.0"

# The names of version 0.1 for what has a plainer name now.
Found, Rule, Staged = SearchResult, RankRule, AttackSequence

_LAZY = {
    "Explorer": "widgets.explorer",
    "Session": "session.session",
    "StudyProgress": "study.runner",
    "nn": "nn",
    "widgets": "widgets",
}

# Without `Explorer` and `widgets`: a star import must work where there is no notebook.
__all__ = [
    "APGD",
    "DEFAULT_ATTACK",
    "FAB",
    "FGSM",
    "GDWS",
    "PGD",
    "SVD",
    "Attack",
    "AttackSequence",
    "AutoAttack",
    "Bench",
    "BudgetError",
    "BudgetSolution",
    "Calibration",
    "Cancelled",
    "CompressedModel",
    "CstarProgress",
    "DataError",
    "Dense",
    "EpochInfo",
    "EpochRecord",
    "EvaluationSetting",
    "ExplorerError",
    "Found",
    "GDWSConv2d",
    "GDWSSpectrum",
    "LatencyTable",
    "Layer",
    "LayerSummary",
    "MaskingReport",
    "MaskingSign",
    "ModelError",
    "Network",
    "Normalized",
    "PairedDifference",
    "ParetoTable",
    "PartialReport",
    "Plan",
    "PlanError",
    "Progress",
    "RankRule",
    "Recipe",
    "Record",
    "Report",
    "Rule",
    "SVDSpectrum",
    "SearchResult",
    "Session",
    "SpatialSVD",
    "SpatialSVDSpectrum",
    "Square",
    "Staged",
    "StepInfo",
    "StudyProgress",
    "Summary",
    "TrainingError",
    "TripletRanking",
    "Tucker2",
    "Tucker2Conv2d",
    "Tucker2Spectrum",
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
    "nn",
    "restore",
    "search",
    "svd",
    "sweep",
    "train",
    "tucker",
]

__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    """List the lazily imported names too."""
    return sorted({*globals(), *_LAZY})
