import io
import json
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.plans.choices import GDWS
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study import record_files
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import Store, open_store

READ = """
import sys
from gdws_explorer.study.storage.store import Store
for record in Store(sys.argv[1]).records():
    print(record.plan.hash, record.robust, record.versions["torch"])
"""


def test_memory_keeps_records_in_order(record):
    store = Store()
    store.extend([record(3), record(1), record(2)])
    assert [one.macs for one in store] == [3000, 1000, 2000]
    assert len(store) == 3
    assert store.records() == (record(3), record(1), record(2))


def test_the_latest_measurement_of_a_plan_wins(record):
    store = Store()
    store.extend([record(1, robust=100), record(2), record(1, robust=200)])
    assert [one.robust_correct for one in store] == [200, 320]


def test_settings_are_never_mixed(record):
    store = Store()
    first, second, clean = record(1), record(1, seed=1), record(1, robust=None)
    store.extend([first, second, clean])
    assert store.settings() == (first.setting, second.setting, clean.setting)
    assert store.records(second.setting) == (second,)
    assert store.records(record(seed=9).setting) == ()
    other = record(fingerprint="e" * 64)
    store.add(other)
    assert store.records(fingerprint="e" * 64) == (other,)


@pytest.mark.slow
def test_a_file_survives_in_a_fresh_process(record, tmp_path):
    path = tmp_path / "study.db"
    store = Store(path)
    store.extend([record(1), record(2)])
    store.close()
    answer = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True)
    lines = [f"{one.plan.hash} {one.robust} 2.13.0" for one in (record(1), record(2))]
    assert (answer.stdout.splitlines(), answer.stderr) == (lines, "")
    again = Store(path)
    again.add(record(3))
    assert len(again) == 3


def test_two_open_stores_see_each_other(record, tmp_path):
    one, other = Store(tmp_path / "study.db"), Store(tmp_path / "study.db")
    one.add(record(1))
    assert len(other) == 1
    other.add(record(2))
    one.add(record(3, seed=1))
    assert len(one) == len(other) == 3


def test_threads_may_add_at_once(record, tmp_path):
    store = Store(tmp_path / "study.db")
    store.add(record(1))
    threads = [threading.Thread(target=store.add, args=(record(2 + i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.macs for one in store) == [1000 * (1 + i) for i in range(9)]


def test_optuna_itself_sees_the_front(record, tmp_path):
    path = tmp_path / "study.db"
    Store(path).extend([record(1), record(2, robust=330), record(3, robust=310)])
    storage = f"sqlite:///{path}"
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    assert study.metric_names == ["robust accuracy", "clean accuracy", "MACs"]
    assert sorted(trial.values[2] for trial in study.best_trials) == [1000, 2000]
    assert study.user_attrs["setting"]["attack"]["eps"] == 0.15
    assert study.trials[0].user_attrs["plan"].startswith("conv2 GDWS G=1")


def test_trials_of_others_are_passed_over(record, tmp_path):
    path = tmp_path / "study.db"
    other = optuna.create_study(storage=f"sqlite:///{path}", study_name="somebody's")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    store = Store(path)
    store.add(record())
    assert store.records() == (record(),)


def test_nothing_is_printed(record, tmp_path, capfd):
    Store().add(record())
    Store(tmp_path / "study.db").add(record())
    assert capfd.readouterr() == ("", "")


def test_csv_file(record, tmp_path):
    store = Store()
    store.extend([record(1), record(2)])
    store.to_csv(tmp_path / "records.csv")
    assert len((tmp_path / "records.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_study_is_read_once_and_then_only_its_news(record, tmp_path, monkeypatch):
    store, other = Store(tmp_path / "study.db"), Store(tmp_path / "study.db")
    other.extend([record(1), record(2)])
    assert len(store.records()) == 2
    read = []
    from_dict = Record.from_dict
    monkeypatch.setattr(
        Record, "from_dict", lambda raw, *a, **k: read.append(1) or from_dict(raw, *a, **k)
    )
    before = store.stamp()
    assert store.records() == (record(1), record(2))
    assert (store.stamp(), read) == (before, [])
    other.add(record(3))
    assert store.stamp() != before
    assert store.records() == (record(1), record(2), record(3))
    assert len(read) == 1


def test_plans_are_read_when_asked_for(record, tmp_path, monkeypatch):
    Store(tmp_path / "study.db").extend([record(1), record(2)])
    store = Store(tmp_path / "study.db")
    read = []
    from_dict = Plan.from_dict
    monkeypatch.setattr(Plan, "from_dict", lambda *a: read.append(1) or from_dict(*a))
    first, second = store.records()
    assert [r.plan.hash for r in (first, second)] == [record(1).plan.hash, record(2).plan.hash]
    assert str(second.plan) == str(record(2).plan)
    assert (second.plan.calibration, second.setting) == (None, record().setting)
    assert read == []
    assert second.plan["conv2"] == GDWS(2)
    assert second.plan == pickle.loads(pickle.dumps(second.plan)) == record(2).plan
    assert len(read) == 1


def test_a_plan_that_was_edited_in_the_database(record, tmp_path):
    path = tmp_path / "study.db"
    Store(path).add(record(7))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json ="
            """ replace(value_json, '"G": 7', '"G": 8') WHERE key = 'record'"""
        )
    connection.close()
    (edited,) = Store(path).records()
    with pytest.raises(PlanError, match=r"record 0 of study 'ffffffff PGD.* was changed"):
        edited.plan["conv2"]


def test_settings_are_counted_without_reading_them(record, monkeypatch):
    store = Store()
    other = record(4, fingerprint="e" * 64)
    store.extend([record(1), record(1), record(2), record(3, seed=1), other])
    monkeypatch.setattr(Record, "from_dict", None)
    assert store.counts() == {
        record().setting: 3, record(seed=1).setting: 1, other.setting: 1
    }  # fmt: skip
    assert store.counts("e" * 64) == {other.setting: 1}


def test_a_study_of_another_network_is_named(record):
    store = Store()
    store.check_network("e" * 64)  # an empty one is anybody's
    store.add(record())
    store.check_network("f" * 64)
    with pytest.raises(ExplorerError, match=r"other networks \(f{12}…\), none of e{12}…"):
        store.check_network("e" * 64)


def test_a_trial_that_was_finished_late_is_found(record, tmp_path):
    path = tmp_path / "study.db"
    store = Store(path)
    store.add(record(1))
    study = optuna.load_study(study_name=record().setting.key, storage=f"sqlite:///{path}")
    slow = study.ask()
    store.add(record(2))
    assert len(store) == 2
    slow.set_user_attr("record", record(3).to_dict())
    study.tell(slow, [0.5, 0.5, 3000.0])
    study.add_trial(optuna.trial.create_trial(values=[0.5, 0.5, 1.0]))  # not one of ours
    assert store.records() == (record(1), record(2), record(3))
    store.add(record(4))
    assert len(store) == 4


def test_a_study_that_somebody_deleted_is_made_again(record, tmp_path):
    path = tmp_path / "study.db"
    store = Store(path)
    store.extend([record(1), record(2)])
    assert len(store) == 2
    optuna.delete_study(study_name=record().setting.key, storage=f"sqlite:///{path}")
    assert store.records() == store.settings() == ()
    store.add(record(3))
    assert store.records() == (record(3),)


@pytest.mark.slow
def test_a_renamed_copy_of_a_study_is_passed_over(record, tmp_path):
    path, name = tmp_path / "study.db", record().setting.key
    store = Store(path)
    store.add(record())
    optuna.copy_study(
        from_study_name=name, from_storage=f"sqlite:///{path}",
        to_storage=f"sqlite:///{path}", to_study_name="copy",
    )  # fmt: skip
    assert store.records() == (record(),)
    assert store.settings() == (record().setting,)


def test_places_as_users_name_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store(None).path is open_store(False).path is None
    assert open_store(True).path == tmp_path / "gdws-explorer.db"
    assert open_store("other.db").path == Store("sqlite:///other.db").path == tmp_path / "other.db"
    store = Store(f"sqlite:///{tmp_path}/deep.db")
    assert store.path == tmp_path / "deep.db"
    assert open_store(store) is store
    with pytest.raises(ExplorerError, match=r"cannot be kept in mysql://"):
        Store("mysql://me:secret@host/name")


@pytest.mark.parametrize(
    "name",
    ["did it work?.db", "run%201.db", "a#b.db", "ü {x} & =.db", "a%3Fb?x=1.db", "@host:1.db"],
)
def test_a_path_is_taken_as_it_is_written(record, tmp_path, name):
    folder = tmp_path / f"in {name}"
    folder.mkdir()
    first, second = Store(folder / name), Store(folder / name)
    assert second.records() == ()
    first.add(record())
    assert second.records() == (record(),), "the other program sees the news"
    assert {path.name for path in folder.iterdir()} == {name, f"{name}-wal", f"{name}-shm"}
    other = Store(folder / f"2{name}")
    assert other.records() == ()
    for store in (first, second, other):
        store.close()


def test_the_dashboard_shows_the_study(record, tmp_path):
    """optuna-dashboard on the same file, asked as a browser asks it."""
    dashboard = pytest.importorskip("optuna_dashboard")
    path = tmp_path / "study.db"
    Store(path).extend([record(1), record(2, robust=330), record(3, robust=None)])
    app = dashboard.wsgi(f"sqlite:///{path}")

    def ask(address):
        environ = {"wsgi.input": io.BytesIO(), "PATH_INFO": address, "REQUEST_METHOD": "GET"}
        setup_testing_defaults(environ)
        status = []
        body = b"".join(app(environ, lambda text, headers, *_: status.append(text)))
        assert status == ["200 OK"]
        return json.loads(body)

    studies = ask("/api/studies")["study_summaries"]
    assert [one["study_name"] for one in studies] == [
        record().setting.key, record(robust=None).setting.key
    ]  # fmt: skip
    shown = ask(f"/api/studies/{studies[0]['study_id']}")
    assert [trial["values"] for trial in shown["trials"]] == [
        [320 / 360, 350 / 360, 1000.0], [330 / 360, 350 / 360, 2000.0]
    ]  # fmt: skip
    assert shown["objective_names"] == ["robust accuracy", "clean accuracy", "MACs"]
    said = {each["key"]: each["value"] for each in shown["trials"][0]["user_attrs"]}
    assert "conv2 GDWS G=1" in said["plan"]


# -- what cannot be written is kept ----------------------------------------------------


def test_a_record_that_can_never_be_written_is_not_in_the_way(record, tmp_path):
    store = Store(tmp_path / "study.db")
    for hopeless in (record(1, clean=float("nan")), record(1, note=object())):
        with pytest.raises((TypeError, ValueError)):
            store.add(hopeless)
    store.add(record(2))
    assert store.records() == (record(2),)


def test_a_full_disk_loses_nothing(record, tmp_path, monkeypatch):
    """As SQLite says it: the file may not grow, until there is room again."""
    path = tmp_path / "study.db"
    Store(path).add(record(1))
    limit = [None]
    connect = sqlite3.connect

    def narrow(path, **options):
        connection = connect(path, **options)
        if limit[0]:
            connection.execute(f"PRAGMA max_page_count = {limit[0]}")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", narrow)  # where SQLAlchemy finds it
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # Optuna tries five times
    pages = path.stat().st_size // 4096
    limit[0] = pages
    store = Store(path)
    big = record(2, note="x" * 100_000)
    with pytest.raises(ExplorerError, match=r"disk of .*study\.db is full.* 1 record waits"):
        store.add(big)
    with pytest.raises(ExplorerError, match=r"2 records wait in memory"):
        store.add(record(3))
    assert store.records() == (record(1), big, record(3))
    assert len(Store(path)) == 1
    store.to_jsonl(tmp_path / "saved.jsonl")
    assert len(record_files.read_jsonl(tmp_path / "saved.jsonl")) == 3
    with pytest.raises(ExplorerError, match="2 records wait"):
        store.close()
    limit[0] = None
    fresh = Store(path)
    assert fresh.from_jsonl(tmp_path / "saved.jsonl") == 2
    assert Store(path).records() == (record(1), big, record(3))


# -- files that cannot be used ---------------------------------------------------------


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, " * 100)
    with pytest.raises(ExplorerError, match=r"notes\.txt is not an SQLite file"):
        Store(path)
    assert path.read_text().startswith("not a database")


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "bookmarks.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ExplorerError, match="database of another program"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("folder", ["file.txt", "missing", "."])
def test_a_place_that_cannot_be_opened(tmp_path, folder):
    (tmp_path / "file.txt").write_text("a file, not a folder")
    path = tmp_path if folder == "." else tmp_path / folder / "study.db"
    with pytest.raises(ExplorerError, match=r"cannot be opened; choose a file in a folder"):
        Store(path)


def test_a_locked_file(record, tmp_path):
    path = tmp_path / "study.db"
    store = Store(path, timeout=0.1)
    store.add(record(1))
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ExplorerError, match=r"study\.db is locked by another program"):
        Store(path, timeout=0.1)
    with pytest.raises(ExplorerError, match=r"study\.db is locked by another program"):
        store.add(record(2))
    assert store.records(record().setting)[-1] == record(2)  # it waits
    lock.execute("ROLLBACK")
    lock.close()
    store.add(record(3))
    assert Store(path).records() == (record(1), record(2), record(3))


def test_a_file_that_turns_read_only(record, tmp_path, monkeypatch):
    """What SQLite says of a read-only file, also where root would be let in."""
    path = tmp_path / "study.db"
    Store(path).add(record())
    connect = sqlite3.connect

    def read_only(path, **options):
        connection = connect(path, **options)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(ExplorerError, match="is read-only; copy it"):
        Store(path)
