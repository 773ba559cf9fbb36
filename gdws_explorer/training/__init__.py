"""Training: standard, adversarial, to low rank (CSTAR-style); resumable after every epoch."""

from gdws_explorer.training.callbacks import (
    EpochInfo,
    EpochRecord,
    StatefulCallback,
    StepInfo,
    TrainingResult,
    Validation,
)
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.cstar_style.cstar_training import CstarProgress, cstar
from gdws_explorer.training.cstar_style.projection import RankProjection, project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule
from gdws_explorer.training.finetuning import CompressedModel, finetune
from gdws_explorer.training.fitting import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_model import train

__all__ = [
    "AdmmHistory",
    "CompressedModel",
    "CstarProgress",
    "EpochInfo",
    "EpochRecord",
    "RankBudget",
    "RankProjection",
    "RankRule",
    "Recipe",
    "StatefulCallback",
    "StepInfo",
    "TrainingResult",
    "Validation",
    "cstar",
    "finetune",
    "fit",
    "project",
    "train",
]
