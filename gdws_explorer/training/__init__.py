"""Training: standard, adversarial, and to low rank (CSTAR-style); resumable after every epoch."""

from gdws_explorer.training.callbacks import EpochInfo, EpochRecord, StepInfo, TrainingResult
from gdws_explorer.training.cstar_style.cstar_training import cstar
from gdws_explorer.training.finetuning import CompressedModel, finetune
from gdws_explorer.training.fitting import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train_model import train

__all__ = [
    "CompressedModel",
    "EpochInfo",
    "EpochRecord",
    "Recipe",
    "StepInfo",
    "TrainingResult",
    "cstar",
    "finetune",
    "fit",
    "train",
]
