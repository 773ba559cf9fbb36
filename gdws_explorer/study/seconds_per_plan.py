"""How long a measurement takes, judged by those that were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdws_explorer.robust.sequence import any_attack_from_dict
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.utils.provenance import machine

RECENT = 10  # records that are asked


class SecondsPerPlan(NamedTuple):
    """Seconds for one plan, None where nothing was ever measured, and why that is a guess.

    guess : empty where it is none.
    """

    seconds: float | None
    guess: str


def measured_pace(
    measured: Measurements, setting: EvaluationSetting | None = None
) -> SecondsPerPlan:
    """How long one more plan takes in a setting, the present one unless given.

    The median of the latest records: of this setting on a machine like this one, else of this
    setting, else of this network in any setting, brought to the images and forward passes of this
    one.
    """
    setting = setting or measured.setting
    known = measured.records(setting)
    mine = [record for record in known if record.machine == machine()]
    if mine:
        return SecondsPerPlan(_typical(mine, setting), "")
    if known:
        return SecondsPerPlan(_typical(known, setting), "from another machine")
    others = measured.everything()
    guess = "from other attacks or numbers of images" if others else "nothing was measured yet"
    return SecondsPerPlan(_typical(others, setting), guess)


def _typical(records: Sequence[Record], setting: EvaluationSetting) -> float | None:
    latest = sorted(records, key=lambda record: record.created)[-RECENT:]
    if not latest:
        return None
    wanted = _passes(setting)
    return float(np.median([_seconds(r) * wanted / _passes(r.setting) for r in latest]))


def _seconds(record: Record) -> float:
    return record.seconds + record.timings.get("build s", 0.0)


def _passes(setting: EvaluationSetting) -> int:
    """Forward passes of images, those that attacks may save included."""
    return setting.n * (
        1 if setting.attack is None else 2 + any_attack_from_dict(setting.attack).forwards
    )
