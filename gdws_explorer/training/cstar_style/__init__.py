"""CSTAR-style training: low rank and robustness trained together, by ADMM."""

from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.cstar_style.projection import RankProjection, project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule

__all__ = ["AdmmHistory", "RankBudget", "RankProjection", "RankRule", "project"]
