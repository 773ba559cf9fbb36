"""The events of a session and the type of their listeners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from gdws_explorer.errors import ExplorerError
from gdws_explorer.session.snapshot import Snapshot

Event = Literal[
    "plan",
    "selection",
    "records",
    "filters",
    "job",
    "source",
    "training",
    "message",
    "pins",
    "estimate",
    "custom",
]
"""What changed.

plan : the plan, its locks or its budget. selection : the selected layer or a slider's meaning.
records : what was measured, or how it is measured. filters : of the records. job : status or
progress of a background job. source : whether images are being read. training : status or progress
of a training. message : the sentence for the user. pins : the pinned plans. estimate : the live
estimate. custom : the user's own network is to be opened.
"""

EVENTS: tuple[Event, ...] = get_args(Event)

Listener = Callable[[Event, Snapshot], None]
"""A function that a session calls with an event and the state after it."""


def check_event(event: str) -> None:
    """Raises ExplorerError for a word that is not an Event."""
    if event not in EVENTS:
        raise ExplorerError(f"unknown event {event!r}; expected one of {', '.join(EVENTS)}.")
