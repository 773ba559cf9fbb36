"""Studies on a real PostgreSQL server."""

import json
import subprocess
import sys

import optuna
import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.storage import postgresql
from gdws_explorer.study.storage.store import Store

WRITE = """
import json, sys
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import Store
place, *numbers = sys.argv[1:]
store = Store(place)  # both make the tables
sys.stdin.readline()  # both begin at once
raw = json.loads(sys.stdin.readline())
for number in numbers:
    store.add(Record.from_dict({**raw, "macs": int(number), "created": number}))
store.close()
"""


def write_at_once(place, record, count):
    """Two processes add `count` measurements of one plan each, in the same study."""
    numbers = [range(count), range(count, 2 * count)]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(place), *map(str, some)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for some in numbers
    ]  # fmt: skip
    for writer in writers:
        writer.stdin.write(f"go\n{json.dumps(record.to_dict())}\n")
        writer.stdin.flush()
    return [writer.communicate(timeout=120)[0] for writer in writers]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["server", "file"])
def test_two_programs_write_at_once(where, record, tmp_path, request):
    place = tmp_path / "study.db"
    if where == "server":
        place = request.getfixturevalue("database")
    assert write_at_once(place, record(), 10) == ["", ""]
    (name,) = optuna.get_all_study_names(_optuna(place))
    trials = optuna.load_study(study_name=name, storage=_optuna(place)).trials
    assert sorted(trial.number for trial in trials) == list(range(20))
    assert sorted(trial.user_attrs["record"]["macs"] for trial in trials) == list(range(20))
    assert Store(place).counts() == {record().setting: 20}


def _optuna(place):
    if str(place).startswith("postgresql"):
        return str(place).replace("postgresql:", "postgresql+psycopg:")
    return f"sqlite:///{place}"


def test_records_come_back_exactly(record, database):
    kept = [
        record(1, note="“odd” \\ signs: \u2028 é", timings={"build s": 0.1}),
        record(2, robust=None),
        record(3, seed=1),
    ]
    store = Store(database, poll=0)
    store.extend(kept)
    store.close()
    again = Store(database, poll=0)
    assert again.records() == tuple(kept)
    assert again.records(kept[2].setting) == (kept[2],)
    again.close()


def test_others_are_seen_without_opening_again(record, database):
    one, other = Store(database, poll=0), Store(database, poll=0)
    before = one.stamp()
    other.add(record(1))
    assert one.stamp() != before
    assert one.records() == (record(1),)
    before = one.stamp()
    assert one.stamp() == before
    one.close(), other.close()


def test_a_server_is_asked_now_and_then(record, database, monkeypatch):
    now = 100.0
    monkeypatch.setattr(postgresql.time, "monotonic", lambda: now)
    store, other = Store(database, poll=5), Store(database, poll=0)
    before = store.stamp()
    other.add(record(1))
    assert store.stamp() == before
    now += 5
    assert store.stamp() != before
    store.add(record(2))  # what it wrote itself it knows
    assert len(store) == 2
    store.close(), other.close()


def test_a_server_that_goes_away_loses_nothing(record, server, database):
    store = Store(database, poll=0, timeout=2)
    store.add(record(1))
    assert len(store) == 1
    server.stop()
    try:
        with pytest.raises(ExplorerError, match=r"cannot be reached .* 1 record waits in memory"):
            store.add(record(2))
        store.stamp()  # a slider goes on moving
        assert store.records() == (record(1), record(2))
    finally:
        server.start()
    store.add(record(3))
    assert store.records() == (record(1), record(2), record(3))
    store.close()
    assert len(Store(database)) == 3


def test_no_server(tmp_path):
    with pytest.raises(ExplorerError, match="cannot be reached") as caught:
        Store(f"postgresql://me:secret@/records?host={tmp_path}", timeout=2)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_database(server):
    with pytest.raises(ExplorerError, match=r"does not exist on its server; make it: createdb"):
        Store(server.url("nobodys"))


def test_a_database_of_another_program_is_left_alone(server, database):
    name = database.split("/")[3].split("?")[0]
    server.tell("CREATE TABLE bookmarks (url text)", database=name)
    with pytest.raises(ExplorerError, match=r"another program .*'bookmarks'"):
        Store(database)


def test_a_user_who_may_not_write(record, server, database):
    name = database.split("/")[3].split("?")[0]
    Store(database).add(record(1))
    server.tell(
        f"CREATE USER {name}_reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}_reader",
        database=name,
    )
    with pytest.raises(ExplorerError, match="cannot be written by this user"):
        Store(server.url(name, f"{name}_reader"))
    assert len(Store(database)) == 1


def test_an_address_that_cannot_be_read():
    url = "postgresql://me:secret@host:port/name"
    with pytest.raises(ExplorerError, match="cannot be read; expected postgresql://") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_without_the_driver(monkeypatch):
    monkeypatch.setattr(postgresql, "find_spec", lambda name: None)
    with pytest.raises(ExplorerError, match=r"pip install .gdws-explorer\[postgresql\]"):
        Store("postgresql://me@host/name")
