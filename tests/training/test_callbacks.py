"""Data for callbacks: the order of epochs, JSON, and the names of version 0.1."""

import json

import pytest
from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust import PGD, Report
from gdws_explorer.robust.interval import wilson
from gdws_explorer.training.callbacks import EpochInfo, EpochRecord, StepInfo, Validation

ATTACK = PGD(0.1, 10)


def entry(number=1, **changed):
    raw = {"number": number, "steps": 4, "loss": 0.5, "seen": 36, "correct": 20, "lr": 0.1}
    return EpochRecord(**(raw | {"seconds": 1.5} | changed))


@pytest.mark.parametrize(
    "validation", [None, Validation(9, 5, 12, ATTACK), Validation(9, None, 12, None)]
)
def test_an_epoch_goes_through_json(validation):
    made = entry(validation=validation, attack_steps=2, note="again")
    raw = json.loads(json.dumps(made.to_dict()))
    assert EpochRecord.from_dict(raw) == made
    if validation is not None:
        assert raw["validation"]["clean_interval"] == list(wilson(9, 12))


def test_what_is_not_an_epoch_is_refused():
    for wrong in (
        {},
        {**entry().to_dict(), "colour": "red"},
        {**entry().to_dict(), "validation": {}},
    ):
        with pytest.raises(DataError, match="expected what to_dict wrote"):
            EpochRecord.from_dict(wrong)


def test_epochs_are_ordered_by_robust_images_first():
    best = max(
        [Validation(12, 3, 12, ATTACK), Validation(8, 5, 12, ATTACK), Validation(9, 5, 12, ATTACK)],
        key=lambda validation: validation.rank,
    )
    assert (best.clean_correct, best.robust_correct) == (9, 5)
    assert Validation(8, None, 12, None).rank < Validation(9, None, 12, None).rank


def test_the_counts_of_a_report():
    report = Report(clean_correct=9, robust_correct=5, n=12, attack=ATTACK, seed=0, seconds=0.1)
    assert Validation.of(report) == Validation(9, 5, 12, ATTACK)


def test_a_step_knows_the_last_epoch():
    assert StepInfo(1, 1, 0.5, ()).last is None
    assert StepInfo(3, 9, 0.5, (entry(1), entry(2))).last == entry(2)


def test_the_name_of_version_0_1():
    model, average = nn.Flatten(), nn.Flatten()
    info = EpochInfo(1, 2, model, average, entry())
    assert info.answer is info.result is average
