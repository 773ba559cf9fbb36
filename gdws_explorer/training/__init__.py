"""Training: standard, adversarial (PGD, TRADES, fast), resumable after every epoch."""

from gdws_explorer.training.history import Entry, Validation
from gdws_explorer.training.hooks import Epoch, Extra, Known, Trained
from gdws_explorer.training.loop import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.train import train

__all__ = [
    "Entry",
    "Epoch",
    "Extra",
    "Known",
    "Recipe",
    "Trained",
    "Validation",
    "fit",
    "train",
]
