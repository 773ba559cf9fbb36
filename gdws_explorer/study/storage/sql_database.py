"""Databases of Optuna studies: in memory, or in SQL tables that are read directly."""

from __future__ import annotations

import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import sqlalchemy
import sqlalchemy.exc

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils.format import first_line

COMPLETE = (optuna.trial.TrialState.COMPLETE,)
OWN = ("studies", "trials", "version_info")  # tables of every Optuna database
FAILURES = (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)


class StudyInfo(NamedTuple):
    """A stored study. setting : None in studies of other programs. finished : complete trials."""

    id: int
    name: str
    setting: dict[str, Any] | None
    finished: int


class TrialRow(NamedTuple):
    """A complete trial with a record.

    trial : Optuna's id, which increases with every trial. content : the data of `Record.to_dict`,
    as JSON in a database. plan : the plan in words, also as JSON.
    """

    trial: int
    number: int
    content: Any
    plan: str | None

    @property
    def record(self) -> Any:
        """The data of `Record.to_dict`."""
        return json.loads(self.content) if isinstance(self.content, str) else self.content

    @property
    def plan_text(self) -> str | None:
        """The plan in words."""
        return json.loads(self.plan) if self.plan and self.plan[0] == '"' else self.plan


class Database(ABC):
    """Interface of a store to the place of its studies. path : of a file, else None."""

    path: Path | None = None
    storage: optuna.storages.BaseStorage

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in messages."""

    @abstractmethod
    def stamp(self) -> Hashable:
        """Returns another value when others may have written; called at every slider move."""

    @abstractmethod
    def studies(self) -> list[StudyInfo]:
        """Returns the stored studies, in the order of their creation."""

    @abstractmethod
    def rows(self, study: StudyInfo, after: int) -> list[TrialRow]:
        """Returns the records of the trials after number `after`, in their order."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection; the records stay."""

    def sentence(self, reason: str) -> str:
        """Returns a message: what is wrong and what to do."""
        return f"{self.name} cannot be used for records ({reason}); choose another place."

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turns errors of drivers, SQLAlchemy and Optuna into an ExplorerError of one sentence."""
        try:
            yield
        except FAILURES as error:
            cause = error.__cause__ or error
            reason = first_line(getattr(cause, "orig", None) or cause)
            raise ExplorerError(self.sentence(reason)) from error
        except RuntimeError as error:  # Optuna's error for tables of another version
            raise ExplorerError(
                f"{self.name} was written by another version of Optuna ({error}); choose another "
                "place, or run `optuna storage upgrade` on a copy of it."
            ) from error


class Memory(Database):
    """Studies in memory, which end with the kernel."""

    name = "the memory"

    def __init__(self) -> None:
        self.storage = optuna.storages.InMemoryStorage()

    def stamp(self) -> Hashable:
        """Returns None: no other program writes here."""
        return None

    def studies(self) -> list[StudyInfo]:
        """See `Database`."""
        found = sorted(self.storage.get_all_studies(), key=lambda study: study._study_id)
        ids = [study._study_id for study in found]
        return [
            StudyInfo(one._study_id, one.study_name, one.user_attrs.get("setting"), len(trials))
            for one, trials in zip(found, map(self._trials, ids), strict=True)
        ]

    def rows(self, study: StudyInfo, after: int) -> list[TrialRow]:
        """See `Database`."""
        return [
            TrialRow(
                trial._trial_id,
                trial.number,
                trial.user_attrs["record"],
                trial.user_attrs.get("plan"),
            )
            for trial in self._trials(study.id)
            if trial._trial_id > after and "record" in trial.user_attrs
        ]

    def close(self) -> None:
        """See `Database`."""

    def _trials(self, study: int) -> list[optuna.trial.FrozenTrial]:
        return self.storage.get_all_trials(study, deepcopy=False, states=COMPLETE)


class SqlDatabase(Database):
    """Optuna studies in an SQL database.

    Reading uses SQL: ten thousand trials take 0.5 s, through Optuna's objects 4 s. Writing uses
    Optuna alone.
    """

    engine: sqlalchemy.Engine
    storage: optuna.storages.RDBStorage

    def studies(self) -> list[StudyInfo]:
        """See `Database`."""
        return [
            StudyInfo(number, name, None if setting is None else json.loads(setting), finished)
            for number, name, setting, finished in self._query(STUDIES)
        ]

    def rows(self, study: StudyInfo, after: int) -> list[TrialRow]:
        """See `Database`."""
        return [TrialRow(*row) for row in self._query(ROWS, study=study.id, after=after)]

    def close(self) -> None:
        """See `Database`."""
        self.storage.remove_session()
        self.engine.dispose()

    def open(self, url: str, **options: Any) -> None:
        """Creates Optuna's tables where they are missing; two programs may do so at once."""
        for delay in (0.1, 0.3, 1.0, 3.0, None):
            try:
                self.storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            except sqlalchemy.exc.DBAPIError as error:
                # another program has just created the same tables
                message = str(error).lower()
                raced = "already exists" in message or "unique constraint" in message
                if delay is None or not raced:
                    raise
                time.sleep(delay)
            else:
                self.engine = self.storage.engine
                return

    def check_owner(self, tables: set[str]) -> None:
        """Raises ExplorerError if these are the tables of another program."""
        foreign = {
            name
            for name in tables
            if name not in (*OWN, "alembic_version") and not name.startswith(("study_", "trial_"))
        }
        if foreign and not tables.issuperset(OWN):
            raise ExplorerError(
                f"{self.name} is a database of another program (it has a table "
                f"{min(foreign)!r} and none of studies and trials); choose another place."
            )

    def _query(self, statement: str, **values: int) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(statement), values))


STUDIES = """
    SELECT studies.study_id, study_name, value_json,
        (SELECT count(*) FROM trials WHERE trials.study_id = studies.study_id
            AND state = 'COMPLETE')
    FROM studies LEFT JOIN study_user_attributes AS said
        ON said.study_id = studies.study_id AND said.key = 'setting'
    ORDER BY studies.study_id
"""
ROWS = """
    SELECT trials.trial_id, number, held.value_json, said.value_json
    FROM trials JOIN trial_user_attributes AS held
        ON held.trial_id = trials.trial_id AND held.key = 'record'
    LEFT JOIN trial_user_attributes AS said
        ON said.trial_id = trials.trial_id AND said.key = 'plan'
    WHERE study_id = :study AND trials.trial_id > :after AND state = 'COMPLETE'
    ORDER BY trials.trial_id
"""
