"""Accuracy under attack: what is attacked how, how often the network is still right."""

from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import FGSM, PGD, attack_from_dict
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.interval import wilson
from gdws_explorer.robust.report import PartialReport, Report

__all__ = [
    "FGSM",
    "PGD",
    "Attack",
    "PartialReport",
    "Report",
    "attack_from_dict",
    "evaluate",
    "wilson",
]
