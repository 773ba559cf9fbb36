"""Studies in an SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Hashable
from contextlib import closing
from pathlib import Path

import sqlalchemy

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.storage.sql_database import SqlDatabase


class SQLiteFile(SqlDatabase):
    """Database in an SQLite file, in WAL mode: several programs may read while one writes.

    timeout : seconds to wait for another program that is writing.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        with self.reported():
            self._prepare(path, timeout)
            self.open(_url_of(path), connect_args={"timeout": timeout})
            # any thread may use it, one at a time: sqlite3 leaves the lock to the caller
            self._watch = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
        self._watching = threading.Lock()

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def stamp(self) -> Hashable:
        """Returns SQLite's own count of writes by other connections; it takes microseconds."""
        with self._watching, self.reported():
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """See `Database`."""
        super().close()
        self._watch.close()

    def _prepare(self, path: Path, timeout: float) -> None:
        """Checks at once, and not after the first measurement, whether the file can be used."""
        # autocommit: the journal mode can be changed, and the test transaction is explicit
        with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            self.check_owner({name for (name,) in found if not name.startswith("sqlite_")})
            # Two kernels may then read and write at once; a disk that cannot do it keeps its mode.
            _write_ahead(connection, timeout)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def sentence(self, reason: str) -> str:
        """Returns a message: which file, what is wrong with it and what to do."""
        path = self.path
        if "locked" in reason or "busy" in reason:
            return (
                f"{path} is locked by another program that is writing to it; close that program, "
                "or choose another file."
            )
        if "readonly" in reason:
            return (
                f"{path} is read-only; copy it to a folder that you can write to and open the copy."
            )
        if "not a database" in reason or "malformed" in reason:
            return (
                f"{path} is not an SQLite file, or it is damaged ({reason}); choose another file."
            )
        if "unable to open" in reason:
            return (
                f"{path} cannot be opened; choose a file in a folder that exists and can be "
                "written."
            )
        if "full" in reason:
            return f"the disk of {path} is full; make room, then measure again."
        return f"{path} cannot be used for records ({reason}); choose another file."


def _url_of(path: Path) -> str:
    """Returns the URL that SQLAlchemy, through Optuna, reads as exactly this path.

    In a path, "?" and "%" are ordinary characters; in a URL they are not. Optuna takes the URL for
    a template, in which braces mean something too.
    """
    url = sqlalchemy.URL.create("sqlite", database=str(path))
    text = url.render_as_string(hide_password=False)
    if sqlalchemy.make_url(text).database != str(path):  # SQLAlchemy 2.0 quotes nothing
        raise ExplorerError(
            f"{path} cannot be used for records with SQLAlchemy {sqlalchemy.__version__}; choose a "
            "path without '?' and '%'."
        )
    return text.replace("{", "{{").replace("}", "}}")


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    """Switches the journal to WAL; SQLite does not wait while another program does the same."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)
