"""Tables, JSON objects and progress bars of the commands."""

from __future__ import annotations

import pytest

import gdws_explorer as gx
from gdws_explorer.cli.output import (
    costs_text,
    evaluation_json,
    evaluation_text,
    progress_bar,
    records_json,
    records_text,
    setting_text,
    study_bar,
)
from gdws_explorer.study.runner import StudyProgress


@pytest.fixture(scope="module")
def records(bench):
    return bench.records[:4]


@pytest.fixture(scope="module")
def network(bench):
    return gx.Network(bench.model, bench.example)


def test_the_bar_shows_label_fraction_and_text(capsys):
    with progress_bar("training") as update:
        update(0.5, "loss 1.250")
        update(0.25, "loss 1.200")  # never backwards
        update(1.0, "loss 1.000")
    err = capsys.readouterr().err
    assert "training: 100 %" in err
    assert "loss 1.000" in err


def test_every_stage_of_a_search_has_its_own_bar(capsys):
    with study_bar("search") as update:
        for total in (3, 2):
            for done in range(total + 1):
                update(StudyProgress(measured=done, total=total, seconds=float(done)))
    err = capsys.readouterr().err
    assert "search: 3/3 plans" in err
    assert "search: 2/2 plans" in err


def test_a_bar_that_is_never_updated_prints_nothing(capsys):
    with study_bar("sweep"):
        pass
    assert capsys.readouterr().err == ""


def test_costs_are_fractions_of_the_dense_network(network):
    plan = network.budget(macs=0.5)
    summary = network.summary(plan)
    macs, params = costs_text(summary).splitlines()
    assert f"{summary.macs / summary.dense_macs:.1%}" in macs
    assert f"{summary.params:,} of {summary.dense_params:,} dense" in params


def test_an_evaluation_as_text_and_json(network):
    plan = network.plan()
    summary = network.summary(plan)
    report = gx.Report(90, 60, 100, gx.PGD(0.15, steps=2), 0, 0.1)
    text = evaluation_text("digits", plan, summary, report)
    assert "clean accuracy            90.0%   95 % interval" in text
    assert "PGD-2 ℓ∞ ε 0.15           60.0%   95 % interval" in text
    found = evaluation_json("digits", plan, summary, report)
    assert (found["clean"], found["robust"], found["n"]) == (0.9, 0.6, 100)
    assert found["macs"] == summary.macs
    assert "clean_mask" not in found


def test_records_are_listed_by_rising_macs(records):
    setting = records[0].setting
    head, columns, *rows = records_text(setting, records, 9).splitlines()
    assert head == f"{setting_text(setting)}: 4 of 9 records"
    assert columns.split()[:3] == ["MACs", "parameters", "clean"]
    macs = [int(row.split()[0].replace(",", "")) for row in rows]
    assert macs == sorted(record.macs for record in records)


def test_records_as_json_carry_hashes_and_further_keys(records):
    setting = records[0].setting
    found = records_json("s.db", setting, records, {"front": ["a"]})
    assert found["storage"] == "s.db"
    assert found["front"] == ["a"]
    assert [record["hash"] for record in found["records"]] == [r.plan.hash for r in records]
