import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gdws_explorer as gx
from gdws_explorer.errors import DataError, ExplorerError, PlanError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attacks import FGSM, PGD
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.robust.paired_difference import compare
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.study.records import EvaluationSetting, Record, record_of

SUMMARY = SimpleNamespace(macs=5, params=4, bytes=16, error=0.5, relative_error=0.1)


def test_json_round_trip_is_exact(record):
    for one in (record(), record(robust=None), record(parent="abc")):
        assert Record.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_note_stays_with_the_record(record):
    noted = record(note="out of memory: 23 images at a time instead of 90")
    assert Record.from_dict(json.loads(json.dumps(noted.to_dict()))) == noted
    assert noted.report.note == noted.note


def test_a_record_can_be_a_key(record):
    assert len({record(1), record(1), record(2)}) == 2


def test_wrong_fields_are_named(record):
    raw = record().to_dict()
    for changed, words in (
        ({"flops": 1}, "unknown fields: flops.*update gdws-explorer"),
        ({"n": "360"}, "n='360'; expected int"),
        ({"n": True}, "n=True; expected int"),
        ({"robust": "high"}, "robust='high'; expected float or int or NoneType"),
        ({"stages": 3}, "stages=3"),
        ({"plan": None}, "plan=None"),
    ):
        with pytest.raises(DataError, match=words):
            Record.from_dict(raw | changed)
    del raw["macs"]
    with pytest.raises(DataError, match="missing fields: macs"):
        Record.from_dict(raw)
    with pytest.raises(DataError, match="expected a record"):
        Record.from_dict([])


def test_records_of_before_some_fields_existed(record):
    raw = record().to_dict()
    for name in ("parent", "through", "stages", "note", "clean_mask", "robust_mask", "timings"):
        del raw[name]
    assert Record.from_dict(raw) == record()
    with pytest.raises(DataError, match="no robust results"):
        compare(record(), record(2))


def test_verdicts_and_words_come_back(record):
    rng = np.random.default_rng(0)
    clean = rng.random(13) < 0.8
    robust = clean & (rng.random(13) < 0.6)
    report = Report(
        int(clean.sum()), int(robust.sum()), 13, AttackSequence((FGSM(0.1), PGD(0.1))), 4, 0.5,
        through="layers", stages=(9, int(robust.sum())), note="on half the images at a time",
        clean_mask=clean, robust_mask=robust,
    )  # fmt: skip
    one = record_of(record().plan, SUMMARY, report, data="d", timings={"build s": 0.25})
    again = Record.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one
    assert again.report == report
    assert again.report.clean_mask.tolist() == clean.tolist()
    assert again.report.robust_mask.tolist() == robust.tolist()
    assert len(one.clean_mask) == 4
    assert one.timings == {"build s": 0.25}


def test_two_records_of_one_setting_are_compared(record):
    masks = {"clean_mask": "ff80", "robust_mask": "f000"}
    first = record(n=9, clean=9, robust=4, **masks)
    second = record(2, n=9, clean=9, robust=3, clean_mask="ff80", robust_mask="0700")
    paired = gx.compare(first, second)
    assert (paired.only_first, paired.only_second, paired.n) == (4, 3, 9)
    assert gx.compare(first.report, second, "clean").difference == 0
    with pytest.raises(DataError, match=r"are of the images d+ and other; expected the same"):
        gx.compare(first, record(n=9, clean=9, robust=4, data="other", **masks))


def test_an_edited_plan_is_refused(record):
    raw = record().to_dict()
    raw["plan"]["layers"]["conv2"]["G"] = 99
    with pytest.raises(PlanError, match="record 7"):
        Record.from_dict(raw, "record 7")


def test_settings_differ_by_everything_that_is_measured(record):
    keys = [
        one.setting.key
        for one in (
            record(),
            record(fingerprint="e" * 64),
            record(data="other"),
            record(seed=1),
            record(n=361),
            record(robust=None),
            record(attack={"name": "PGD", "eps": 0.1, "steps": 20}),
        )
    ]
    assert len(set(keys)) == len(keys)
    assert record(1).setting.key == record(2).setting.key
    swapped = {"steps": 20, "eps": 0.15, "name": "PGD"}
    assert record(attack=swapped).setting.key == record().setting.key


def test_intervals_hold_the_accuracy(record):
    one = record()
    low, high = one.robust_interval
    assert 0 < low < one.robust < high < 1
    assert record(robust=None).robust_interval is None
    assert one.clean_interval[0] < one.clean < one.clean_interval[1]


def test_accuracy_by_name(record):
    assert record(clean=180).accuracy("clean") == 0.5
    with pytest.raises(ExplorerError, match="'speed'"):
        record().accuracy("speed")


def test_record_of_joins_costs_and_report():
    plan = Plan("f", (1, 8, 8), ())
    one = record_of(plan, SUMMARY, Report(9, None, 10, None, 3, 0.2), data="d", parent="p")
    assert (one.macs, one.clean, one.robust, one.seed, one.parent) == (5, 0.9, None, 3, "p")
    assert one.versions["torch"] == str(torch.__version__)
    assert one.created.endswith("+00:00")
    assert Record.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_settings_in_words_and_back(record):
    setting = record(attack={"name": "PGD", "eps": 8 / 255, "steps": 20}).setting
    assert setting.label == "PGD-20 ℓ∞ ε 8/255 · n 360 · seed 0"
    assert record(robust=None).setting.label == "no attack · n 360 · seed 0"
    again = EvaluationSetting.from_dict(json.loads(json.dumps(setting.to_dict())))
    assert (again, again.key) == (setting, setting.key)


def test_data_fingerprint_sees_values_and_not_containers():
    x, y = torch.rand(4, 1, 2, 2), torch.arange(4)
    same = data_fingerprint(x, y)
    assert data_fingerprint(x.numpy(), y.numpy().astype(np.uint8)) == same
    assert data_fingerprint(x.view(2, 2, 2, 2), y) != same
    assert data_fingerprint(x, y.flip(0)) != same
