import sqlite3
import subprocess
import sys
import threading

import optuna
import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.explore.store import Store

READ = """
import sys
from gdws_explorer.explore.store import Store
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
    lock.execute("ROLLBACK")
    lock.close()
    store.add(record(2))
    assert len(store) == 2


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
