"""Accuracy under attack: what is attacked how, how often the network is still right."""

from gdws_explorer.robust.attacks import FGSM, PGD, Attack, attack_from_dict
from gdws_explorer.robust.evaluate import Partial, Report, evaluate
from gdws_explorer.robust.interval import wilson

__all__ = [
    "FGSM",
    "PGD",
    "Attack",
    "Partial",
    "Report",
    "attack_from_dict",
    "evaluate",
    "wilson",
]
