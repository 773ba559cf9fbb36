"""Store of records: one Optuna study per setting, in memory, in a file or on a server."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study import record_files
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.study.storage.sql_database import Database, Memory, StudyInfo, TrialRow
from gdws_explorer.study.storage.sqlite import SQLiteFile


def open_database(place: str | os.PathLike[str] | None, timeout: float, poll: float) -> Database:
    """Opens the database that a path, a URL or None (for memory) names; see `Store`."""
    if place is None:
        return Memory()
    scheme, found, rest = os.fspath(place).partition("://")
    if not found:
        return SQLiteFile(Path(place).absolute(), timeout)
    if scheme == "sqlite":
        return SQLiteFile(Path(rest.removeprefix("/")).absolute(), timeout)
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        from gdws_explorer.study.storage.postgresql import PostgreSQL

        return PostgreSQL(os.fspath(place), timeout, poll)
    raise ExplorerError(
        f"records cannot be kept in {scheme}://…; expected a file name, or "
        "postgresql://user:password@host/name."
    )


FILE = "gdws-explorer.db"  # the default file for records that outlive the kernel


class Store:
    """Store of records, one Optuna study per setting; optuna-dashboard opens the same file.

    A study's values are robust accuracy (where there was an attack), clean accuracy and MACs; the
    whole record is a user attribute of its trial. Nothing is overwritten: a plan measured again
    in the same setting is one more trial, and reading takes the latest. Records that other
    programs write to the same place appear at the next reading. Methods may be called from any
    thread.

    Parameters
    ----------
    place : path-like or URL, optional
        An SQLite file, created if it is missing, or a database of a PostgreSQL server,
        `postgresql://user:password@host:5432/name`; None keeps the records in memory.
    timeout : float
        Seconds to wait for another program that is writing, or for the server.
    poll : float
        Seconds between two queries to a server for new records of other programs.

    Raises
    ------
    ExplorerError
        The place is locked, read-only or unreachable, not a database, or another program's.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 10.0,
        poll: float = 1.0,
    ) -> None:
        self._base = open_database(place, timeout, poll)
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._open: dict[str, optuna.Study] = {}
        self._waiting: list[Record] = []  # not written yet
        self._written = 0
        self._stamp: Hashable = None
        self._studies: list[tuple[EvaluationSetting, StudyInfo]] = []
        self._cached: dict[int, dict[int, Record]] = {}  # by study and trial

    @property
    def name(self) -> str:
        """The place of the records, as text."""
        return self._base.name

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for memory and for a server."""
        return self._base.path

    # -- writing -------------------------------------------------------------------------

    def add(self, record: Record) -> None:
        """Stores one record."""
        self.extend([record])

    def extend(self, records: Iterable[Record]) -> None:
        """Stores several records, in their order.

        If that fails, the unwritten records stay in memory: `records` returns them too, and the
        next `add` or `close` writes them.
        """
        with self._writing:
            waiting = list(self._waiting)
            self._waiting.extend(record for record in records if record not in waiting)
            self._write()

    def close(self) -> None:
        """Writes the unwritten records, and closes the file or connection."""
        try:
            with self._writing:
                self._write()
        finally:
            self._base.close()

    def _write(self) -> None:
        try:
            with self._base.reported():
                while self._waiting:
                    try:
                        self._put(self._waiting[0])
                    except (TypeError, ValueError):  # never accepted by JSON or Optuna
                        del self._waiting[0]
                        raise
                    self._written += 1
                    del self._waiting[0]
        except ExplorerError as error:
            count = len(self._waiting)
            raise ExplorerError(
                f"{error} {count} record{'s wait' if count > 1 else ' waits'} in memory and "
                "will be written with the next one."
            ) from error

    def _put(self, record: Record) -> None:
        trial = optuna.trial.create_trial(
            values=list(_objectives(record)),
            user_attrs={"record": record.to_dict(), "plan": str(record.plan)},
        )
        try:
            self._study(record.setting).add_trial(trial)
        except KeyError:  # the study was deleted, perhaps in the dashboard
            del self._open[record.setting.key]
            self._study(record.setting).add_trial(trial)

    def _study(self, setting: EvaluationSetting) -> optuna.Study:
        """Returns the study of a setting, and creates it if it is missing."""
        if setting.key not in self._open:
            up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
            names = ["robust accuracy", "clean accuracy", "MACs"]
            first = 1 if setting.attack is None else 0
            with quiet():
                study = optuna.create_study(
                    storage=self._base.storage,
                    study_name=setting.key,
                    directions=[up, up, down][first:],
                    load_if_exists=True,
                )
                study.set_metric_names(names[first:])
            study.set_user_attr("setting", setting.to_dict())
            self._open[setting.key] = study
        return self._open[setting.key]

    # -- reading -------------------------------------------------------------------------

    def stamp(self) -> Hashable:
        """Returns another value when there may be new records; fast, for every slider move."""
        return self._written, len(self._waiting), self._base.stamp()

    def records(
        self, setting: EvaluationSetting | None = None, *, fingerprint: str | None = None
    ) -> tuple[Record, ...]:
        """Returns the records of one setting, or of all settings, in the order of measurement.

        fingerprint : only records of this network. Records of different settings do not belong on
        one front: `Record.setting` distinguishes them.
        """
        waiting = self._unwritten(setting, fingerprint)
        latest = {
            (one, record.plan.hash): record
            for one, study in self._ours(setting, fingerprint)
            for record in self._read(study)
        }
        latest |= {(record.setting, record.plan.hash): record for record in waiting}
        return tuple(latest.values())

    def settings(self) -> tuple[EvaluationSetting, ...]:
        """Returns every setting that has a record."""
        return tuple(self.counts())

    def counts(self, fingerprint: str | None = None) -> dict[EvaluationSetting, int]:
        """Returns the number of measurements in every setting, without reading them.

        fingerprint : only settings of this network.
        """
        waiting = self._unwritten(None, fingerprint)
        found = {
            one: study.finished for one, study in self._ours(None, fingerprint) if study.finished
        }
        for record in waiting:
            found[record.setting] = found.get(record.setting, 0) + 1
        return found

    def check_network(self, fingerprint: str) -> None:
        """Raises ExplorerError where there are records, but none of this network."""
        found = {setting.fingerprint for setting in self.counts()}
        if found and fingerprint not in found:
            names = ", ".join(sorted(f"{other[:12]}…" for other in found))
            raise ExplorerError(
                f"{self.name} has records of other networks ({names}), none of "
                f"{fingerprint[:12]}…; open it with their weights, or choose another place."
            )

    def __len__(self) -> int:
        return len(self.records())

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records())

    def _unwritten(
        self, setting: EvaluationSetting | None, fingerprint: str | None
    ) -> list[Record]:
        return [
            record
            for record in tuple(self._waiting)
            if setting in (None, record.setting) and fingerprint in (None, record.plan.fingerprint)
        ]

    def _ours(
        self, setting: EvaluationSetting | None, fingerprint: str | None
    ) -> list[tuple[EvaluationSetting, StudyInfo]]:
        """Returns the present studies: also those of other kernels, but not of other programs.

        The database is queried again only after something was written.
        """
        with self._reading, self._base.reported():
            stamp = self._written, self._base.stamp()
            if stamp != self._stamp:
                found = [(_setting(study), study) for study in self._base.studies()]
                self._studies = [(one, study) for one, study in found if one is not None]
                self._cached = {
                    study.id: self._cached.get(study.id, {}) for _, study in self._studies
                }
                self._stamp = stamp
            return [
                (one, study)
                for one, study in self._studies
                if setting in (None, one) and fingerprint in (None, one.fingerprint)
            ]

    def _read(self, study: StudyInfo) -> list[Record]:
        """Returns the records of a study; trials do not change, so they are read once."""
        with self._reading, self._base.reported():
            cached = self._cached.setdefault(study.id, {})
            if len(cached) > study.finished:  # deleted and created again
                cached.clear()
            if len(cached) < study.finished:
                rows = self._base.rows(study, max(cached, default=-1))
                if (
                    len(cached) + len(rows) < study.finished
                ):  # trials of other programs, or finished late
                    rows = self._base.rows(study, -1)
                for row in rows:
                    if row.trial not in cached:
                        cached[row.trial] = _record(row, study)
            return list(cached.values())

    # -- files ---------------------------------------------------------------------------

    def to_csv(
        self, path: str | os.PathLike[str], setting: EvaluationSetting | None = None
    ) -> None:
        """Writes the records as CSV, atomically."""
        record_files.write_csv(path, self.records(setting))

    def to_jsonl(
        self, path: str | os.PathLike[str], setting: EvaluationSetting | None = None
    ) -> None:
        """Writes the records as JSON Lines, atomically."""
        record_files.write_jsonl(path, self.records(setting))

    def from_csv(self, path: str | os.PathLike[str]) -> int:
        """Adds the records of a CSV file of `to_csv`, and returns the number of new ones.

        The whole file is read first; a record that is stored already is not added again.
        """
        return self._add_new(record_files.read_csv(path))

    def from_jsonl(self, path: str | os.PathLike[str]) -> int:
        """Adds the records of a JSON Lines file of `to_jsonl`, as `from_csv` does."""
        return self._add_new(record_files.read_jsonl(path))

    def _add_new(self, records: Iterable[Record]) -> int:
        stored = {record for _, study in self._ours(None, None) for record in self._read(study)}
        new = [record for record in dict.fromkeys(records) if record not in stored]
        self.extend(new)
        return len(new)


def open_store(storage: Store | str | os.PathLike[str] | bool | None) -> Store:
    """Returns a store for a place, True (`FILE`), None (memory), or a Store itself."""
    if isinstance(storage, Store):
        return storage
    return Store(FILE if storage is True else storage or None)


def _setting(study: StudyInfo) -> EvaluationSetting | None:
    """Returns the setting of a study; None for another program's study or a renamed copy."""
    try:
        setting = EvaluationSetting.from_dict(study.setting or {})
    except (KeyError, TypeError):
        return None
    return setting if setting.key == study.name else None


def _record(row: TrialRow, study: StudyInfo) -> Record:
    """Returns a trial's record; its plan, which takes longest, is parsed at its first use."""
    where = f"record {row.number} of study {study.name!r}"
    raw = row.record
    plan = (
        Plan.unread(raw["plan"], f"the plan of {where}", row.plan_text) if "plan" in raw else None
    )
    return Record.from_dict(raw, where, plan=plan)


def _objectives(record: Record) -> Iterator[float]:
    if record.robust is not None:
        yield record.robust
    yield record.clean
    yield float(record.macs)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Optuna's messages about new studies and metric names."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)
