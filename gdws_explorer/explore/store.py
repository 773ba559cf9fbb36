"""Records kept in Optuna studies: in memory, or in an SQLite file that outlives the kernel."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc

from gdws_explorer import files
from gdws_explorer.errors import ExplorerError
from gdws_explorer.explore.records import Record, Setting, csv_text


class Store:
    """All records, one Optuna study per setting; optuna-dashboard opens the same file.

    A study's values are robust accuracy (where there was an attack), clean accuracy and MACs; the
    whole record is a user attribute of its trial. Nothing is overwritten: a plan measured again
    in the same setting is one more trial, and reading takes the latest.

    Parameters
    ----------
    path : path-like, optional
        An SQLite file, made where it is missing; None keeps the records in memory.
    timeout : float
        Seconds to wait for another program that is writing.

    Raises
    ------
    ExplorerError
        The file is locked, read-only, unreachable, no SQLite file or another program's.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, timeout: float = 10.0
    ) -> None:
        self.path = None if path is None else Path(path).absolute()
        self._studies: dict[str, optuna.Study] = {}
        self._read: dict[tuple[str, int], Record] = {}  # a trial never changes once it is written
        self._storage: optuna.storages.BaseStorage
        self._file: optuna.storages.RDBStorage | None = None
        if self.path is None:
            self._storage = optuna.storages.InMemoryStorage()
            return
        with self._reported():
            _prepare(self.path, timeout)
            self._storage = self._file = optuna.storages.RDBStorage(
                f"sqlite:///{self.path}", engine_kwargs={"connect_args": {"timeout": timeout}}
            )

    def add(self, record: Record) -> None:
        """Keep one record."""
        self.extend([record])

    def extend(self, records: Iterable[Record]) -> None:
        """Keep several records, in their order."""
        with self._reported():
            for record in records:
                self._study(record.setting).add_trial(
                    optuna.trial.create_trial(
                        values=list(_objectives(record)),
                        user_attrs={"record": record.to_dict(), "plan": str(record.plan)},
                    )
                )

    def records(
        self, setting: Setting | None = None, *, fingerprint: str | None = None
    ) -> tuple[Record, ...]:
        """Return the records of one setting, or of every setting, as they were first measured.

        fingerprint : only records of this network. Records of different settings do not belong on
        one front: `Record.setting` tells them apart.
        """
        with self._reported():
            latest = {
                (study.study_name, record.plan.hash): record
                for study in self._existing(setting)
                for record in self._trials(study)
            }
        return tuple(
            record
            for record in latest.values()
            if fingerprint is None or record.plan.fingerprint == fingerprint
        )

    def settings(self) -> tuple[Setting, ...]:
        """Every setting that has a record."""
        return tuple({record.setting.key: record.setting for record in self}.values())

    def __len__(self) -> int:
        return len(self.records())

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records())

    def to_csv(self, path: str | os.PathLike[str], setting: Setting | None = None) -> None:
        """Write the records as CSV, atomically."""
        files.write_text(path, csv_text(self.records(setting)))

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        if self._file is not None:
            self._file.remove_session()
            self._file.engine.dispose()

    def _study(self, setting: Setting) -> optuna.Study:
        """Open or make the study of a setting."""
        if setting.key not in self._studies:
            up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
            names = ["robust accuracy", "clean accuracy", "MACs"]
            first = 1 if setting.attack is None else 0
            with _quiet():
                study = optuna.create_study(
                    storage=self._storage,
                    study_name=setting.key,
                    directions=[up, up, down][first:],
                    load_if_exists=True,
                )
                study.set_metric_names(names[first:])
            study.set_user_attr("setting", setting.to_dict())
            self._studies[setting.key] = study
        return self._studies[setting.key]

    def _existing(self, setting: Setting | None) -> list[optuna.Study]:
        """The studies that are there now, those of other kernels included."""
        names = optuna.get_all_study_names(self._storage)
        if setting is not None:
            names = [name for name in names if name == setting.key]
        for name in names:
            if name not in self._studies:
                self._studies[name] = optuna.load_study(study_name=name, storage=self._storage)
        return [self._studies[name] for name in names]

    def _trials(self, study: optuna.Study) -> Iterator[Record]:
        """Yield the records of a study; another program's trials are passed over."""
        for trial in study.get_trials(deepcopy=False):
            raw: Any = trial.user_attrs.get("record")
            if raw is None:
                continue
            place = (study.study_name, trial.number)
            if place not in self._read:
                where = f"record {trial.number} of study {study.study_name!r}"
                self._read[place] = Record.from_dict(raw, where)
            yield self._read[place]

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what SQLite, SQLAlchemy and Optuna say into one sentence about the file."""
        try:
            yield
        except (
            sqlite3.Error,
            sqlalchemy.exc.SQLAlchemyError,
            optuna.exceptions.StorageInternalError,
        ) as error:
            raise ExplorerError(_sentence(self.path, error)) from error
        except RuntimeError as error:
            raise ExplorerError(
                f"{self.path} was written by another version of Optuna ({error}); choose another "
                "file, or run `optuna storage upgrade` on a copy of it."
            ) from error


def _objectives(record: Record) -> Iterator[float]:
    if record.robust is not None:
        yield record.robust
    yield record.clean
    yield float(record.macs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's "A new study created" from the notebook, and its note about metric names."""
    logger = logging.getLogger("optuna.storages")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)


def _prepare(path: Path, timeout: float) -> None:
    """Find out now, not after the first measurement, whether `path` can be used."""
    # autocommit, so that the journal mode can be changed and the test transaction is our own
    with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "studies" not in tables:
            raise ExplorerError(
                f"{path} is a database of another program (it has no table of studies); choose "
                "another file name."
            )
        # Two kernels may then read and write at once; where the disk cannot do it, it stays.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _sentence(path: Path | None, error: Exception) -> str:
    """Say which file, what is wrong with it and what to do."""
    reason = str(error.__cause__ or error).splitlines()[0]
    if "locked" in reason or "busy" in reason:
        return (
            f"{path} is locked by another program that is writing to it; close that program, or "
            "choose another file."
        )
    if "readonly" in reason:
        return f"{path} is read-only; copy it to a folder that you can write to and open the copy."
    if "not a database" in reason or "malformed" in reason:
        return f"{path} is not an SQLite file, or it is damaged ({reason}); choose another file."
    if "unable to open" in reason:
        return f"{path} cannot be opened; choose a file in a folder that exists and can be written."
    if "full" in reason:
        return f"the disk of {path} is full; make room, then measure again."
    return f"{path} cannot be used for records ({reason}); choose another file."
