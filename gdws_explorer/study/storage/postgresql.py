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

RETRY = 30.0  # seconds until a server that did not answer is queried again


class PostgreSQL(SqlDatabase):
    """A database of a server, `postgresql://user:password@host:5432/name`.

    timeout : seconds to wait for a connection. poll : seconds between two queries for new records
    of other programs.
    """

    def __init__(self, url: str, timeout: float, poll: float) -> None:
        self._url = _parsed(url)
        self._poll = poll
        self._next = 0.0
        self._stamp: Hashable = None
        self._querying = threading.Lock()
        with self.reported():
            options = {"connect_args": {"connect_timeout": max(2, round(timeout))}}
            self._check(options)
            # pre-ping, as a server may restart between two measurements
            self.open(self._url.render_as_string(False), pool_pre_ping=True, **options)
            self._query(MAY_WRITE)

    @property
    def name(self) -> str:
        """The URL, without the password."""
        return self._url.set(drivername="postgresql").render_as_string()

    def stamp(self) -> Hashable:
        """Returns the number of trials and the last one, queried every `poll` seconds.

        Without an answer the stamp stays; the next writing raises the error of the server.
        """
        with self._querying:
            if time.monotonic() >= self._next:
                try:
                    self._stamp = tuple(self._query(LATEST)[0])
                    self._next = time.monotonic() + self._poll
                except FAILURES:
                    self._next = time.monotonic() + RETRY
            return self._stamp

    def _check(self, options: dict[str, dict[str, int]]) -> None:
        """Checks at once whether the database belongs to another program."""
        engine = sqlalchemy.create_engine(self._url, **options)
        try:
            self.check_owner(set(sqlalchemy.inspect(engine).get_table_names()))
        finally:
            engine.dispose()

    def sentence(self, reason: str) -> str:
        """Returns a message: which database, what is wrong with it and what to do."""
        name = self.name
        if "authentication failed" in reason or "no password supplied" in reason:
            return f"the server of {name} refuses this user ({reason}); check the password."
        if "does not exist" in reason and "database" in reason:
            return f"{name} does not exist on its server; make it: createdb {self._url.database}"
        if "permission denied" in reason or "read-only" in reason:
            return f"{name} cannot be written by this user ({reason}); ask for the right to write."
        if "No space left" in reason or "disk full" in reason:
            return f"the disk of the server of {name} is full ({reason}); make room there."
        if "connect" in reason or "server closed" in reason or "terminat" in reason:
            return (
                f"the server of {name} cannot be reached ({reason}); start it, or check host and "
                "port."
            )
        return f"{name} cannot be used for records ({reason}); choose another database."


MAY_WRITE = "UPDATE studies SET study_name = study_name WHERE study_id = -1 RETURNING study_id"
LATEST = "SELECT count(*), max(trial_id) FROM trials WHERE state = 'COMPLETE'"


def _parsed(url: str) -> URL:
    """Returns the URL with its driver, which must be installed."""
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
