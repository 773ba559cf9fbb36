"""Reports: fractions, words and JSON."""

import json

import numpy as np
import pytest

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.interval import wilson
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence

MASK = np.array([True] * 8 + [False] * 2)


ATTACK = PGD(0.1)


def report(attack=ATTACK, **changed):
    raw = {
        "clean_correct": 8, "robust_correct": None if attack is None else 5, "n": 10,
        "attack": attack, "seed": 3, "seconds": 0.5, "clean_mask": MASK,
    }  # fmt: skip
    return Report(**(raw | changed))


def test_fractions_and_intervals():
    made = report()
    assert (made.clean, made.robust) == (0.8, 0.5)
    assert (made.clean_interval, made.robust_interval) == (wilson(8, 10), wilson(5, 10))
    clean = report(attack=None)
    assert (clean.robust, clean.robust_interval) == (None, None)


def test_words():
    assert str(report()) == (
        "clean 80.0% (49.0% to 94.3%), PGD-20 ℓ∞ ε 0.1 50.0% (23.7% to 76.3%), n 10"
    )
    assert str(report(attack=None)) == "clean 80.0% (49.0% to 94.3%), n 10"


@pytest.mark.parametrize("attack", [None, PGD(0.1), AttackSequence((PGD(0.1), PGD(0.1, 50)))])
def test_json_and_back(attack):
    made = report(attack, stages=(5,), note="half", robust_mask=~MASK)
    again = Report.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert np.array_equal(again.clean_mask, MASK)
    assert np.array_equal(again.robust_mask, ~MASK)


def test_reports_without_masks_can_be_read():
    raw = report().to_dict()
    for name in ("clean_mask", "robust_mask", "note", "stages"):
        del raw[name]
    assert Report.from_dict(raw).clean_mask is None
    del raw["seed"]
    with pytest.raises(DataError, match="'seed'"):
        Report.from_dict(raw)
