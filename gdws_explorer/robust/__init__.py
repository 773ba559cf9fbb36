"""Accuracy under attack: attacks as values, their evaluation, and checks of its result."""

from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import FGSM, PGD, attack_from_dict
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.gradient_masking import MaskingReport, check_masking
from gdws_explorer.robust.interval import wilson
from gdws_explorer.robust.report import PartialReport, Report

__all__ = [
    "FGSM",
    "PGD",
    "Attack",
    "MaskingReport",
    "PartialReport",
    "Report",
    "attack_from_dict",
    "check_masking",
    "evaluate",
    "wilson",
]
