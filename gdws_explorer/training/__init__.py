"""Training: standard, adversarial, to low rank (CSTAR-style); resumable after every epoch."""

from gdws_explorer.training.admm import Rounds
from gdws_explorer.training.cstar import Moment, cstar
from gdws_explorer.training.finetune import Compressed, finetune
from gdws_explorer.training.history import Entry, Validation
from gdws_explorer.training.hooks import Epoch, Extra, Known, Trained
from gdws_explorer.training.loop import fit
from gdws_explorer.training.projection import Projected, project
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.room import Room, Rule
from gdws_explorer.training.train import train

__all__ = [
    "Compressed",
    "Entry",
    "Epoch",
    "Extra",
    "Known",
    "Moment",
    "Projected",
    "Recipe",
    "Room",
    "Rounds",
    "Rule",
    "Trained",
    "Validation",
    "cstar",
    "finetune",
    "fit",
    "project",
    "train",
]
