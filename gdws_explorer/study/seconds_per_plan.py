"""Seconds per plan, estimated from the records so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdws_explorer.robust.sequence import any_attack_from_dict
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.utils.provenance import machine

RECENT = 10  # records that the estimate uses


class SecondsPerPlan(NamedTuple):
    """Seconds for one plan; None where there are no records.

    guess : why the number is only a guess; empty where it is not.
    """

    seconds: float | None
    guess: str


def measured_pace(
    measurements: Measurements, setting: EvaluationSetting | None = None
) -> SecondsPerPlan:
    """Returns the seconds that one more plan takes in a setting, the present one unless given.

    It is the median of the latest records: of this setting on a machine like this one, else of this
    setting, else of this network in any setting, scaled by the number of forward passes.
    """
    setting = setting or measurements.setting
    known = measurements.records(setting)
    mine = [record for record in known if record.machine == machine()]
    if mine:
        return SecondsPerPlan(_typical(mine, setting), "")
    if known:
        return SecondsPerPlan(_typical(known, setting), "from another machine")
    elsewhere = measurements.everything()
    guess = "from other attacks or numbers of images" if elsewhere else "nothing was measured yet"
    return SecondsPerPlan(_typical(elsewhere, setting), guess)


def _typical(records: Sequence[Record], setting: EvaluationSetting) -> float | None:
    latest = sorted(records, key=lambda record: record.created)[-RECENT:]
    if not latest:
        return None
    passes = _passes(setting)
    return float(np.median([_seconds(r) * passes / _passes(r.setting) for r in latest]))


def _seconds(record: Record) -> float:
    return record.seconds + record.timings.get("build s", 0.0)


def _passes(setting: EvaluationSetting) -> int:
    """Returns the forward passes of images, including those that an attack may save."""
    return setting.n * (
        1 if setting.attack is None else 2 + any_attack_from_dict(setting.attack).forwards
    )
