"""Where Optuna studies live: in memory, or in a database whose tables are read directly."""

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
OWN = ("studies", "trials", "version_info")  # tables of every database of Optuna's
FAILURES = (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)


class StudyInfo(NamedTuple):
    """A study that is there. setting : None of other programs'. finished : its complete trials."""

    id: int
    name: str
    setting: dict[str, Any] | None
    finished: int


class TrialRow(NamedTuple):
    """A complete trial that holds a record.

    trial : Optuna's id, rising with every trial. content : what `Record.to_dict` gave, a database
    holds it as JSON. plan : the plan in words, likewise.
    """

    trial: int
    number: int
    content: Any
    plan: str | None

    @property
    def record(self) -> Any:
        """What `Record.to_dict` gave."""
        return json.loads(self.content) if isinstance(self.content, str) else self.content

    @property
    def said(self) -> str | None:
        """The plan in words."""
        return json.loads(self.plan) if self.plan and self.plan[0] == '"' else self.plan


class Database(ABC):
    """What a store needs of the place where its studies are. path : of a file, else None."""

    path: Path | None = None
    storage: optuna.storages.BaseStorage

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in messages."""

    @abstractmethod
    def stamp(self) -> Hashable:
        """Another one whenever somebody else may have written; asked at every move of a fader."""

    @abstractmethod
    def studies(self) -> list[StudyInfo]:
        """The studies that are there, in the order of their making."""

    @abstractmethod
    def rows(self, study: StudyInfo, after: int) -> list[TrialRow]:
        """The records of the trials beyond `after`, in the order of adding."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; what is in it stays."""

    def sentence(self, reason: str) -> str:
        """Say what is wrong with it and what to do."""
        return f"{self.name} cannot be used for records ({reason}); choose another place."

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turn what drivers, SQLAlchemy and Optuna say into one sentence."""
        try:
            yield
        except FAILURES as error:
            cause = error.__cause__ or error
            reason = first_line(getattr(cause, "orig", None) or cause)
            raise ExplorerError(self.sentence(reason)) from error
        except RuntimeError as error:  # so Optuna says that the tables are of another version
            raise ExplorerError(
                f"{self.name} was written by another version of Optuna ({error}); choose another "
                "place, or run `optuna storage upgrade` on a copy of it."
            ) from error


class Memory(Database):
    """Studies that end with the kernel."""

    name = "the memory"

    def __init__(self) -> None:
        self.storage = optuna.storages.InMemoryStorage()

    def stamp(self) -> Hashable:
        """Nobody else writes here."""
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
    """A database of Optuna's.

    It is read in SQL: through Optuna's objects ten thousand trials take four seconds, so half a
    second. What is written goes through Optuna alone.
    """

    engine: sqlalchemy.Engine
    storage: optuna.storages.RDBStorage

    def studies(self) -> list[StudyInfo]:
        """See `Database`."""
        return [
            StudyInfo(number, name, None if setting is None else json.loads(setting), finished)
            for number, name, setting, finished in self._asked(STUDIES)
        ]

    def rows(self, study: StudyInfo, after: int) -> list[TrialRow]:
        """See `Database`."""
        return [TrialRow(*row) for row in self._asked(ROWS, study=study.id, after=after)]

    def close(self) -> None:
        """See `Database`."""
        self.storage.remove_session()
        self.engine.dispose()

    def open(self, url: str, **options: Any) -> None:
        """Make Optuna's tables where they are missing; two programs may do so at once."""
        for patience in (0.1, 0.3, 1.0, 3.0, None):
            try:
                self.storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            except sqlalchemy.exc.DBAPIError as error:
                # what one has just made, the other one cannot make as well
                said = str(error).lower()
                raced = "already exists" in said or "unique constraint" in said
                if patience is None or not raced:
                    raise
                time.sleep(patience)
            else:
                self.engine = self.storage.engine
                return

    def check_owner(self, tables: set[str]) -> None:
        """Raise ExplorerError if these are the tables of another program."""
        strange = {
            name
            for name in tables
            if name not in (*OWN, "alembic_version") and not name.startswith(("study_", "trial_"))
        }
        if strange and not tables.issuperset(OWN):
            raise ExplorerError(
                f"{self.name} is a database of another program (it has a table "
                f"{min(strange)!r} and none of studies and trials); choose another place."
            )

    def _asked(self, question: str, **values: int) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(question), values))


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
