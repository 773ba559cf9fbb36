"""How long a measurement takes, judged by those that were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdws_explorer.explore.measurements import Measurements
from gdws_explorer.explore.records import Record, Setting, machine
from gdws_explorer.robust.staged import from_dict

RECENT = 10  # records that are asked


class Pace(NamedTuple):
    """Seconds for one plan, None where nothing was ever measured, and why that is a guess.

    guess : empty where it is none.
    """

    seconds: float | None
    guess: str


def pace(measured: Measurements, setting: Setting | None = None) -> Pace:
    """How long one more plan takes in a setting, the present one unless given.

    The median of the latest records: of this setting on a machine like this one, else of this
    setting, else of this network in any setting, brought to the images and forward passes of this
    one.
    """
    setting = setting or measured.setting
    known = measured.records(setting)
    mine = [record for record in known if record.machine == machine()]
    if mine:
        return Pace(_typical(mine, setting), "")
    if known:
        return Pace(_typical(known, setting), "from another machine")
    others = measured.everything()
    guess = "from other attacks or numbers of images" if others else "nothing was measured yet"
    return Pace(_typical(others, setting), guess)


def _typical(records: Sequence[Record], setting: Setting) -> float | None:
    latest = sorted(records, key=lambda record: record.created)[-RECENT:]
    if not latest:
        return None
    wanted = _passes(setting)
    return float(np.median([_seconds(r) * wanted / _passes(r.setting) for r in latest]))


def _seconds(record: Record) -> float:
    return record.seconds + record.timings.get("build s", 0.0)


def _passes(setting: Setting) -> int:
    """Forward passes of images, those that attacks may save included."""
    return setting.n * (1 if setting.attack is None else 2 + from_dict(setting.attack).forwards)
