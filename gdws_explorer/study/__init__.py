"""Many plans of one network: records and their storage, sweeps, searches, Pareto fronts.

Names that need Optuna are imported at their first use: `bench` reads records without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gdws_explorer.study.records import EvaluationSetting, Record

if TYPE_CHECKING:
    from gdws_explorer.study.measurements import Measurements
    from gdws_explorer.study.plan_evaluator import PlanEvaluator
    from gdws_explorer.study.runner import StudyProgress
    from gdws_explorer.study.storage.store import Store
    from gdws_explorer.study.study_job import StudyJob
    from gdws_explorer.study.study_spec import SearchSpec, SweepSpec

_LAZY = {
    "Measurements": "measurements",
    "PlanEvaluator": "plan_evaluator",
    "SearchSpec": "study_spec",
    "Store": "storage.store",
    "StudyJob": "study_job",
    "StudyProgress": "runner",
    "SweepSpec": "study_spec",
}

__all__ = [
    "EvaluationSetting",
    "Measurements",
    "PlanEvaluator",
    "Record",
    "SearchSpec",
    "Store",
    "StudyJob",
    "StudyProgress",
    "SweepSpec",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'gdws_explorer.study' has no attribute {name!r}")
    return getattr(import_module(f"gdws_explorer.study.{_LAZY[name]}"), name)
