"""Which of the measured plans stand out, and going to the one that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gdws_explorer.errors import ExplorerError
from gdws_explorer.session.undo import UndoHistory
from gdws_explorer.study.filters import Filters
from gdws_explorer.study.records import Record
from gdws_explorer.study.selection import cheapest, knee

if TYPE_CHECKING:
    from gdws_explorer.session.session import Session


class RecordFilter:
    """The filters over a session's records, with a history of their own.

    tell : says that they changed.
    """

    def __init__(self, session: Session, tell: Callable[[], None]) -> None:
        self._session = session
        self._tell = tell
        self.history = UndoHistory(Filters())

    @property
    def records(self) -> tuple[Record, ...]:
        """Those of the setting on view, whether they hold or not."""
        measured = self._session.measurements
        return measured.records(measured.shown)

    @property
    def filters(self) -> Filters:
        """What plans must hold to."""
        return self.history.present

    def apply(self, filters: Filters, gesture: object = None) -> None:
        """Filter by something else; changes of one gesture are one step of undo."""
        if filters != self.filters:
            self.history.put(filters, gesture)
            self._tell()

    def undo(self) -> None:
        """Take the last step back."""
        if self.history.undo():
            self._tell()

    def redo(self) -> None:
        """Take a step again that undo took back."""
        if self.history.redo():
            self._tell()

    def kept(self) -> tuple[Record, ...]:
        """The records on view that hold; ExplorerError where none of them does."""
        records = self.records
        kept = self.filters.kept(records)
        if records and not kept:
            raise ExplorerError(
                f"none of the {len(records)} measured plans has {self.filters}; ask for less, or "
                "measure more plans."
            )
        return kept

    def knee(self, accuracy: str, cost: str) -> None:
        """Go to the plan of the front after which more cost buys the least."""
        self._session.put(knee(self.kept(), accuracy, cost).plan)

    def cheapest(self, accuracy: str, cost: str) -> None:
        """Go to the cheapest plan that holds to the filters."""
        self._session.put(cheapest(self.records, self.filters, accuracy, cost).plan)
