"""The filters over the measured records, with their own undo."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gdws_explorer.errors import ExplorerError
from gdws_explorer.session.locking import locked
from gdws_explorer.session.undo import UndoHistory
from gdws_explorer.study.filters import Filters
from gdws_explorer.study.records import Record
from gdws_explorer.study.selection import cheapest, knee


class RecordFilter:
    """The filters over some records.

    read_records : returns the records to filter. notify : called after the filters changed.
    """

    def __init__(
        self,
        read_records: Callable[[], tuple[Record, ...]],
        notify: Callable[[], None] = lambda: None,
        lock: threading.RLock | None = None,
    ) -> None:
        self.lock = threading.RLock() if lock is None else lock
        self._read_records = read_records
        self._notify = notify
        self.history = UndoHistory(Filters())

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, those that the filters exclude included."""
        return self._read_records()

    @property
    def filters(self) -> Filters:
        """The present filters."""
        return self.history.present

    @locked
    def apply(self, filters: Filters, gesture: object = None) -> None:
        """Replaces the filters; changes of one gesture (not None) are one step of undo."""
        if filters != self.filters:
            self.history.put(filters, gesture)
            self._notify()

    @locked
    def undo(self) -> None:
        """Goes back one step."""
        if self.history.undo():
            self._notify()

    @locked
    def redo(self) -> None:
        """Goes forward one step that `undo` went back."""
        if self.history.redo():
            self._notify()

    @locked
    def kept(self) -> tuple[Record, ...]:
        """The records that pass the filters; ExplorerError where none of them does."""
        records = self.records
        kept = self.filters.kept(records)
        if records and not kept:
            raise ExplorerError(
                f"none of the {len(records)} measured plans has {self.filters}; ask for less, or "
                "measure more plans."
            )
        return kept

    def knee(self, accuracy: str, cost: str) -> Record:
        """The record of the front after which more cost gains the least accuracy."""
        return knee(self.kept(), accuracy, cost)

    @locked
    def cheapest(self, accuracy: str, cost: str) -> Record:
        """The cheapest record that passes the filters."""
        return cheapest(self.records, self.filters, accuracy, cost)
