"""Files of records: exact round trips, and every way in which a file can be wrong."""

import csv
import errno
import io
import json
import re
from pathlib import Path

import pytest

from gdws_explorer import bench
from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study import record_files
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import Store

FORMATS = {
    "csv": (record_files.write_csv, record_files.read_csv),
    "jsonl": (record_files.write_jsonl, record_files.read_jsonl),
}


@pytest.fixture
def odd(record):
    """Records whose texts and numbers are hard on a file."""
    counts = tuple(range(40_000))
    weighted = Plan("f" * 64, (3, 4, 4), (("a", GDWS(sum(counts), counts)),), "refit+é")
    return (
        record(1),
        record(2, robust=None, seconds=1e-320, error=0.1 + 0.2, parent="abc"),
        record(3, note='a "note", with\r\nlines,\u2028\u0085 commas; and é', stages=(350, 320)),
        record(4, note="", machine='"quoted"', created=""),
        record(5, note='"', timings={"build s": 1 / 3, "ONNX, 1 ms": 2.0}, through="layers"),
        record(6, clean=1, robust=0, n=9, clean_mask="0100", robust_mask="0000"),
        record(7, plan=weighted, attack={"name": "Staged", "stages": [{"name": "FGSM", "eps": 1}]}),
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_round_trip_is_exact(odd, tmp_path, kind):
    write, read = FORMATS[kind]
    write(tmp_path / "records", odd)
    assert read(tmp_path / "records") == odd
    write(tmp_path / "again", read(tmp_path / "records"))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "records").read_bytes()
    write(tmp_path / "none", ())
    assert read(tmp_path / "none") == ()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", bench.names())
def test_bundled_records(kind, name, tmp_path):
    write, read = FORMATS[kind]
    records = bench.load(name).records
    write(tmp_path / "records", records)
    assert read(tmp_path / "records") == records


@pytest.mark.parametrize("kind", FORMATS)
def test_a_store_takes_in_what_another_gave(odd, record, tmp_path, kind):
    path = tmp_path / "records"
    first, second = Store(), Store(tmp_path / "study.db")
    first.extend(odd)
    second.extend([record(9), odd[0]])
    getattr(first, f"to_{kind}")(path)
    assert getattr(second, f"from_{kind}")(path) == len(odd) - 1
    assert set(second) == {*odd, record(9)}
    assert getattr(second, f"from_{kind}")(path) == 0
    getattr(second, f"to_{kind}")(path, odd[0].setting)
    read = FORMATS[kind][1](path)
    assert {one.setting for one in read} == {odd[0].setting}
    second.close()


def test_csv_has_a_line_per_record_and_the_whole_plan(record):
    one = record()
    rows = list(csv.DictReader(io.StringIO(record_files.csv_text([one, record(robust=None)]))))
    assert len(rows) == 2
    assert rows[0]["plan"] == str(one.plan)
    assert Plan.from_json(rows[0]["plan_json"]) == one.plan
    assert float(rows[0]["seconds"]) == one.seconds
    assert json.loads(rows[0]["attack"]) == one.attack
    assert rows[1]["robust"] == rows[1]["robust_low"] == ""


def test_a_spreadsheet_adds_a_mark_and_old_files_have_fewer_columns(record, tmp_path):
    rows = list(csv.DictReader(io.StringIO(record_files.csv_text([record()]))))
    for name in ("through", "stages", "note", "timings", "clean_mask", "robust_mask"):
        del rows[0][name]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerow(rows[0])
    (tmp_path / "old.csv").write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")
    assert record_files.read_csv(tmp_path / "old.csv") == (record(),)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("320", "many", r"csv, line 2 has robust_correct='many'; expected int or NoneType"),
        ("320", "361", r"csv, line 2 cannot be used: correct is 361 and n is 360"),
        ("PGD", "FGSMX", r"unknown attack 'FGSMX'"),
        (",0,dddd", ",0,,dddd", r"line 2 has more or fewer cells"),
        ("macs,", "flops,", r"unknown fields: flops"),
        ("plan_json", "plan_text", r"plan"),
        ('{""schema"": 1', '{""schema"": 1,', r"has plan="),
        ('""G"": 10', '""G"": 11', r"was changed after it was written"),
        ("ff80", "ff", r"cannot be used"),
        ("ff80", "zz80", r"cannot be used"),
    ],
)
def test_wrong_csv_is_named_and_nothing_is_taken(record, tmp_path, old, new, words):
    path = tmp_path / "records.csv"
    text = record_files.csv_text([record(n=360, clean_mask=None), record(n=9, clean=9, robust=0,
                                        clean_mask="ff80")])  # fmt: skip
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    store = Store()
    with pytest.raises(ExplorerError, match=words):
        store.from_csv(path)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("]}\n", "]", r"jsonl, line 2 is not complete JSON .* export the records again"),
        ('"n": 360', '"n": 3.5', r"jsonl, line 1 has n=3.5; expected int"),
        ('{"plan"', '[{"plan"', r"line 1 is not complete JSON"),
    ],
)
def test_wrong_json_lines(record, tmp_path, old, new, words):
    path = tmp_path / "records.jsonl"
    lines = [json.dumps(record(i).to_dict() | {"stages": []}) for i in (1, 2)]
    text = "".join(re.sub(r"}$", ', "stages": []}', line) + "\n" for line in lines)
    head, _, tail = text.rpartition(old) if old == "]}\n" else text.partition(old)
    path.write_text(head + new + tail, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        record_files.read_jsonl(path)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        for _, read in FORMATS.values():
            with pytest.raises(DataError, match="cannot be read as a file of records"):
                read(tmp_path / name)


def test_a_failed_writing_leaves_the_old_file(record, tmp_path, monkeypatch):
    path = tmp_path / "records.jsonl"
    record_files.write_jsonl(path, [record()])
    before = path.read_bytes()
    monkeypatch.setattr(Record, "to_dict", lambda self: {"never": object()})
    with pytest.raises(TypeError):
        record_files.write_jsonl(path, [record()])
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_file(record, tmp_path, monkeypatch):
    path = tmp_path / "records.csv"
    record_files.write_csv(path, [record()])
    before = path.read_bytes()

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExplorerError, match=r"cannot be written \(No space left on device\)"):
        record_files.write_csv(path, [record(1), record(2)])
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["records.csv"]
