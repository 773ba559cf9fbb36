"""Studies on a PostgreSQL server."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from importlib.util import find_spec

import sqlalchemy
from sqlalchemy.engine import URL, make_url

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.storage.sql_database import FAILURES, SqlDatabase

ASIDE = 30.0  # seconds until a server that did not answer is asked for news again


class PostgreSQL(SqlDatabase):
    """A database of a server, `postgresql://user:password@host:5432/name`.

    timeout : seconds to wait for a connection. poll : seconds between two questions for what
    others wrote.
    """

    def __init__(self, url: str, timeout: float, poll: float) -> None:
        self._url = _parsed(url)
        self._poll = poll
        self._next = 0.0
        self._stamp: Hashable = None
        self._asking = threading.Lock()
        with self.reported():
            options = {"connect_args": {"connect_timeout": max(2, round(timeout))}}
            self._check(options)
            # a server may be started again between two measurements
            self.open(self._url.render_as_string(False), pool_pre_ping=True, **options)
            self._asked(MAY_WRITE)

    @property
    def name(self) -> str:
        """The URL, without the password."""
        return self._url.set(drivername="postgresql").render_as_string()

    def stamp(self) -> Hashable:
        """How many trials there are and the last of them, asked every `poll` seconds.

        A server that does not answer has no news: who writes to it will hear why.
        """
        with self._asking:
            if time.monotonic() >= self._next:
                try:
                    self._stamp = tuple(self._asked(NEWS)[0])
                    self._next = time.monotonic() + self._poll
                except FAILURES:
                    self._next = time.monotonic() + ASIDE
            return self._stamp

    def _check(self, options: dict[str, dict[str, int]]) -> None:
        """Find out now whether the database is another program's."""
        engine = sqlalchemy.create_engine(self._url, **options)
        try:
            self.check_owner(set(sqlalchemy.inspect(engine).get_table_names()))
        finally:
            engine.dispose()

    def sentence(self, reason: str) -> str:
        """Say which database, what is wrong with it and what to do."""
        name = self.name
        if "authentication failed" in reason or "no password supplied" in reason:
            return f"the server of {name} does not let this user in ({reason}); check the password."
        if "does not exist" in reason and "database" in reason:
            return f"{name} does not exist on its server; make it: createdb {self._url.database}"
        if "permission denied" in reason or "read-only" in reason:
            return f"{name} cannot be written by this user ({reason}); ask for the right to."
        if "No space left" in reason or "disk full" in reason:
            return f"the disk of the server of {name} is full ({reason}); make room there."
        if "connect" in reason or "server closed" in reason or "terminat" in reason:
            return (
                f"the server of {name} cannot be reached ({reason}); start it, or check host and "
                "port."
            )
        return f"{name} cannot be used for records ({reason}); choose another database."


MAY_WRITE = "UPDATE studies SET study_name = study_name WHERE study_id = -1 RETURNING study_id"
NEWS = "SELECT count(*), max(trial_id) FROM trials WHERE state = 'COMPLETE'"


def _parsed(url: str) -> URL:
    """The URL with its driver, which must be there."""
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # not shown: a password may be in it
        raise ExplorerError(
            "the address of the database cannot be read; expected "
            "postgresql://user:password@host:5432/name, with % codes for odd characters."
        ) from None
    if find_spec("psycopg") is None:
        raise ExplorerError(
            "records on a PostgreSQL server need psycopg; install it with: "
            'pip install "gdws-explorer[postgresql]"'
        )
    return parsed.set(drivername="postgresql+psycopg")
