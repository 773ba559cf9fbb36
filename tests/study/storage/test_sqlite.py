"""Studies in an SQLite file, those of version 0.1 included."""

import gzip
import sqlite3
from pathlib import Path

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.storage.sqlite import SQLiteFile
from gdws_explorer.study.storage.store import Store

# Written by commit be602a4, before the rooms were renamed: `gx.sweep` of two budgets of the network
# below without an attack on 10 images, and of one under PGD-2 with 2 restarts, also from data.
OLD = Path(__file__).with_name("records-0.1.db.gz")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "records.db"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    return path


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 4)
    )


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 4


def test_records_of_version_0_1_load(old, model, data):
    store = Store(old)
    attacked, clean = store.settings()
    assert (attacked.n, clean.n) == (12, 10)
    assert attacked.attack["restarts"] == 2
    assert clean.attack is None
    from_weights, from_data = store.records(attacked)
    assert from_weights.plan.calibration is None
    assert from_data.plan.calibration is not None
    net = gx.Network(model, data[0][:1])
    assert attacked.fingerprint == net.fingerprint
    for record in (from_weights, *store.records(clean)):
        assert net.summary(record.plan).macs == record.macs
    assert from_data.report.n == 12


def test_a_study_of_version_0_1_is_continued(old, model, data):
    moved = []
    records = gx.sweep(
        model, macs=[0.6, 0.8, 1.0], attack=None, n=10, data=data, storage=old,
        progress=moved.append,
    )  # fmt: skip
    assert len(records) == 3
    assert (moved[-1].known, moved[-1].measured) == (2, 1)


def test_the_stamp_changes_when_another_connection_writes(tmp_path, record):
    file = SQLiteFile(tmp_path / "study.db", timeout=1.0)
    before = file.stamp()
    assert file.stamp() == before
    with_other = Store(tmp_path / "study.db")
    with_other.add(record())
    with_other.close()
    assert file.stamp() != before
    (study,) = file.studies()
    (row,) = file.rows(study, -1)
    assert row.record["macs"] == record().macs
    assert row.plan_text == str(record().plan)
    assert file.rows(study, row.trial) == []
    assert file.name == str(tmp_path / "study.db")
    file.close()


def test_a_file_that_cannot_be_used_says_why(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but longer than the header of one would be " * 10)
    with pytest.raises(ExplorerError, match="is not an SQLite file"):
        SQLiteFile(text, timeout=1.0)
    with pytest.raises(ExplorerError, match="choose a file in a folder that exists"):
        SQLiteFile(tmp_path / "nowhere" / "study.db", timeout=1.0)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE birds (name)")
    with pytest.raises(ExplorerError, match="database of another program"):
        SQLiteFile(other, timeout=1.0)


def test_a_writing_program_is_named(tmp_path):
    path = tmp_path / "study.db"
    SQLiteFile(path, timeout=1.0).close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(ExplorerError, match="locked by another program"):
        SQLiteFile(path, timeout=0.1)
    writer.close()
