"""The explorer without a browser: one network, its plan, records and jobs.

Names are imported at their first use, so that a part does not import the whole session.
"""

from typing import TYPE_CHECKING

from gdws_explorer.utils.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, _LAZY)
