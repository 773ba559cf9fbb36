import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gdws_explorer.errors import DataError, ExplorerError, PlanError
from gdws_explorer.explore.records import Record, record_of
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.compare import compare
from gdws_explorer.robust.images import data_fingerprint


def test_json_round_trip_is_exact(record):
    for one in (record(), record(robust=None), record(parent="abc")):
        assert Record.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_record_can_be_a_key(record):
    assert len({record(1), record(1), record(2)}) == 2


def test_missing_and_unknown_fields_are_named(record):
    raw = record().to_dict()
    del raw["macs"]
    raw["flops"] = 1
    with pytest.raises(DataError, match=r"flops, macs"):
        Record.from_dict(raw)


def test_a_record_of_an_earlier_version_has_no_verdicts(record):
    raw = record().to_dict()
    del raw["clean_mask"], raw["robust_mask"]
    one = Record.from_dict(raw)
    assert one == record()
    with pytest.raises(DataError, match="measure both networks again"):
        compare(one.report, one.report)


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
    summary = SimpleNamespace(macs=5, params=4, bytes=16, error=0.5, relative_error=0.1)
    report = SimpleNamespace(
        clean=0.9, robust=None, n=10, clean_correct=9, robust_correct=None,
        attack=None, seed=3, seconds=0.2, clean_mask=np.arange(10) > 0, robust_mask=None,
    )  # fmt: skip
    plan = Plan("f", (1, 8, 8), ())
    one = record_of(plan, summary, report, data="d", parent="p")
    assert (one.macs, one.clean, one.robust, one.seed, one.parent) == (5, 0.9, None, 3, "p")
    assert one.versions["torch"] == str(torch.__version__)
    assert one.created.endswith("+00:00")
    assert (one.clean_mask, one.robust_mask) == ("7fc0", None)
    assert one.report.clean_mask.tolist() == [False] + 9 * [True]
    assert Record.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_data_fingerprint_sees_values_and_not_containers():
    x, y = torch.rand(4, 1, 2, 2), torch.arange(4)
    same = data_fingerprint(x, y)
    assert data_fingerprint(x.numpy(), y.numpy().astype(np.uint8)) == same
    assert data_fingerprint(x.view(2, 2, 2, 2), y) != same
    assert data_fingerprint(x, y.flip(0)) != same
