"""The progress bar and the Cancel button of a panel's job."""

from __future__ import annotations

import ipywidgets as w

from gdws_explorer.session.jobs import Job, Work
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, error_text, on


class JobControls:
    """Progress bar and Cancel for one job at a time in the session's queue.

    start_button : disabled while the job waits or runs. message : shows why a job failed.
    cancel_button, bar : widgets for the panel to place. job : the latest job, or None.
    """

    def __init__(
        self, session: Session, start_button: w.Button, message: w.HTML, cancel_tooltip: str
    ) -> None:
        self._session = session
        self.start_button, self.message = start_button, message
        self.job: Job | None = None
        self._failed: Job | None = None  # the job whose error is shown
        self.cancel_button = button("Cancel", "stop", cancel_tooltip, 84)
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="160px"))
        on(session, self.cancel_button, self._cancel)
        self.refresh()

    @property
    def alive(self) -> bool:
        """Whether the job waits or runs."""
        return self.job is not None and self.job.alive

    def start(self, title: str, work: Work) -> None:
        """Puts a job into the session's queue."""
        self.job = self._session.jobs.submit(title, work)
        self.refresh()

    def refresh(self) -> None:
        """Shows the state of the job."""
        self.start_button.disabled, self.cancel_button.disabled = self.alive, not self.alive
        self.bar.layout.display = None if self.alive else "none"
        self.bar.value = self.job.fraction if self.job is not None and self.alive else 0.0
        if self.job is not None and self.job.error is not None and self.job is not self._failed:
            self._failed = self.job  # shown once: a later message stays
            self.message.value = error_text(self.job.error)

    def _cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self._session.notify("job")
