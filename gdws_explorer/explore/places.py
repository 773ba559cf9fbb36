"""From what a user calls a place to the database that is there."""

from __future__ import annotations

import os
from pathlib import Path

from gdws_explorer.errors import ExplorerError
from gdws_explorer.explore.database import Database, Memory
from gdws_explorer.explore.sqlite import SQLiteFile


def database(place: str | os.PathLike[str] | None, timeout: float, poll: float) -> Database:
    """Open None for memory, a path, or a URL; see `Store` for what they may be."""
    if place is None:
        return Memory()
    scheme, found, rest = os.fspath(place).partition("://")
    if not found:
        return SQLiteFile(Path(place).absolute(), timeout)
    if scheme == "sqlite":
        return SQLiteFile(Path(rest.removeprefix("/")).absolute(), timeout)
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        from gdws_explorer.explore.postgresql import PostgreSQL

        return PostgreSQL(os.fspath(place), timeout, poll)
    raise ExplorerError(
        f"records cannot be kept in {scheme}://…; expected a file name, or "
        "postgresql://user:password@host/name."
    )
