"""Many plans of one network: records and their storage, sweeps, searches, Pareto fronts.

Names that need Optuna are imported at their first use: `bench` reads records without it.
"""

from typing import TYPE_CHECKING

from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.utils.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, _LAZY)
