"""`gdws-explorer front`: tables, files, and which setting; the rest is in test_studies.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gdws_explorer import cli
from gdws_explorer.study.storage.store import Store


@pytest.fixture
def records(monkeypatch, tmp_path, bench):
    """Some records of the digits, stored in the default file of the current folder."""
    monkeypatch.chdir(tmp_path)
    chosen = bench.records[:6]
    store = Store("gdws-explorer.db")
    for record in chosen:
        store.add(record)
    store.close()
    return chosen


def test_the_front_is_part_of_all_records(records, capsys):
    assert cli.main(["front", "--all", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert cli.main(["front", "--json"]) == 0
    front = json.loads(capsys.readouterr().out)
    assert {each["hash"] for each in every["records"]} == {r.plan.hash for r in records}
    assert [each["hash"] for each in front["records"]] == front["front"] == every["front"]


def test_a_table_in_a_file(records, capsys):
    assert cli.main(["front", "--all", "--out", "all.csv"]) == 0
    assert "all.csv: 6 of 6 records." in capsys.readouterr().out
    assert len(Path("all.csv").read_text(encoding="utf-8").splitlines()) == 7


def test_other_formats_are_refused(records, one_sentence):
    assert "unknown format all.txt; expected a .csv" in one_sentence("front", "--out", "all.txt")


def test_an_empty_storage_and_none(tmp_path, monkeypatch, one_sentence):
    monkeypatch.chdir(tmp_path)
    assert "there is no file gdws-explorer.db" in one_sentence("front")
    Store("empty.db").close()
    assert "has no records yet" in one_sentence("front", "empty.db")
