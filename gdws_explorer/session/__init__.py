"""The explorer without a browser: one network, its plan, records and jobs.

Names are imported at their first use, so that a part does not import the whole session.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdws_explorer.session.control_state import ControlState
    from gdws_explorer.session.controls import Controls
    from gdws_explorer.session.events import Event
    from gdws_explorer.session.jobs import Job, Jobs
    from gdws_explorer.session.record_filter import RecordFilter
    from gdws_explorer.session.session import Session
    from gdws_explorer.session.snapshot import Snapshot

_LAZY = {
    "ControlState": "control_state",
    "Controls": "controls",
    "Event": "events",
    "Job": "jobs",
    "Jobs": "jobs",
    "RecordFilter": "record_filter",
    "Session": "session",
    "Snapshot": "snapshot",
}

__all__ = [
    "ControlState",
    "Controls",
    "Event",
    "Job",
    "Jobs",
    "RecordFilter",
    "Session",
    "Snapshot",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'gdws_explorer.session' has no attribute {name!r}")
    return getattr(import_module(f"gdws_explorer.session.{_LAZY[name]}"), name)
