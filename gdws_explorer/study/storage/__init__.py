"""Storage of records: Optuna studies in memory, in an SQLite file or on a PostgreSQL server."""

from gdws_explorer.study.storage.sql_database import Database
from gdws_explorer.study.storage.store import Store, open_store

__all__ = ["Database", "Store", "open_store"]
