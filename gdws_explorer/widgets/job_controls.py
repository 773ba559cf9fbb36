"""One job of a panel: the button that starts it, a bar, and Cancel."""

from __future__ import annotations

import ipywidgets as w

from gdws_explorer.session.jobs import Job, Work
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, on, refusal


class JobControls:
    """What stands beside the button that starts a job in the session's queue.

    start : that button, dead while the job is alive. said : where its errors are told.
    cancel, bar : to be put beside it. job : the latest one, or None.
    """

    def __init__(self, session: Session, start: w.Button, said: w.HTML, cancel: str) -> None:
        self._session, self._start, self._said = session, start, said
        self.job: Job | None = None
        self._told: Job | None = None
        self.cancel = button("Cancel", "stop", cancel, 84)
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        on(session, self.cancel, self._stop)
        self.refresh()

    @property
    def alive(self) -> bool:
        """Whether the job waits or runs."""
        return self.job is not None and self.job.alive

    def begin(self, about: str, work: Work) -> None:
        """Start one."""
        self.job = self._session.jobs.submit(about, work)
        self.refresh()

    def refresh(self) -> None:
        """Follow it."""
        self._start.disabled, self.cancel.disabled = self.alive, not self.alive
        self.bar.layout.display = None if self.alive else "none"
        self.bar.value = self.job.fraction if self.job is not None and self.alive else 0.0
        if self.job is not None and self.job.error is not None and self.job is not self._told:
            self._told = self.job  # once: what is said later stays
            self._said.value = refusal(self.job.error)

    def _stop(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self._session.notify("job")
