"""Databases of studies: memory and SQL give the same, and errors become sentences."""

import json
import sqlite3

import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.storage.sql_database import Memory, TrialRow
from gdws_explorer.study.storage.sqlite import SQLiteFile
from gdws_explorer.study.storage.store import Store


def content(database, after=-1):
    """Studies and rows, without what differs between databases: ids."""
    found = []
    for study in database.studies():
        rows = database.rows(study, after)
        found.append(
            (
                study.name, study.setting, study.finished,
                [(row.number, row.record, row.plan_text) for row in rows],
            )
        )  # fmt: skip
    return found


def test_memory_and_a_file_hold_the_same(record, tmp_path, monkeypatch):
    made = [Memory(), SQLiteFile(tmp_path / "study.db", 1.0)]
    for database in made:
        monkeypatch.setattr(
            "gdws_explorer.study.storage.store.open_database",
            lambda *_, database=database: database,
        )
        Store().extend([record(1), record(2), record(1, seed=1), record(3, robust=None)])
    memory, file = map(content, made)
    assert memory == file
    assert [finished for _, _, finished, _ in memory] == [2, 1, 1]


def test_a_row_is_read_from_json_or_as_it_is(record):
    data = record().to_dict()
    stored = TrialRow(1, 0, json.dumps(data), json.dumps("dense"))
    present = TrialRow(1, 0, data, "dense")
    assert stored.record == present.record == data
    assert stored.plan_text == present.plan_text == "dense"
    assert TrialRow(1, 0, data, None).plan_text is None


def test_errors_of_the_driver_become_one_sentence():
    says = r"the memory cannot be used for records \(disk on fire"
    with pytest.raises(ExplorerError, match=says), Memory().reported():
        raise sqlite3.OperationalError("disk on fire\nand more")
    with pytest.raises(ExplorerError, match="another version of Optuna"), Memory().reported():
        raise RuntimeError("schema")
