"""Long work in the background: one job after another, with progress and cancel."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gdws_explorer.errors import Cancelled, ExplorerError

Work = Callable[[Callable[[float], None], Callable[[], bool]], object]
"""`work(progress, cancelled)`: reports the finished fraction, and asks whether to stop."""

Status = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Job:
    """One piece of work in a queue.

    about : what it works on, such as a plan or a sentence for the user.
    fraction : the finished part, from 0 to 1. error : why it failed.
    started : when it began, by `time.monotonic`; None before.
    """

    about: object
    work: Work
    status: Status = "waiting"
    fraction: float = 0.0
    error: Exception | None = None
    started: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Requests it to stop; it does when its work next asks."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.status in ("waiting", "running")

    @property
    def cancelling(self) -> bool:
        """Whether it is requested to stop."""
        return self._stop.is_set()

    @property
    def seconds_left(self) -> float | None:
        """The remaining seconds, estimated from the finished part; None while nothing is done."""
        if self.started is None or self.fraction <= 0:
            return None
        return (time.monotonic() - self.started) * (1 - self.fraction) / self.fraction


class Jobs:
    """A queue with one worker thread, which exists only while there is work.

    changed : called with a job whenever its status or progress changes, in the thread that submits
        or cancels it and in the worker, and never while the queue's own lock is held. An error in
        it is logged; it reaches neither the job nor the caller.
    running : the job that runs, or None.
    """

    def __init__(self, changed: Callable[[Job], None]) -> None:
        self._changed = changed
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._closed = False
        self.running: Job | None = None

    def submit(self, about: object, work: Work) -> Job:
        """Queues `work(progress, cancelled)`; ExplorerError where the queue is closed."""
        job = Job(about, work)
        with self._lock:
            if self._closed:
                raise ExplorerError("this explorer is closed; open a new one.")
            self._waiting.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="gdws-jobs", daemon=True)
                self._worker.start()
        self._notify(job)
        return job

    @property
    def waiting(self) -> int:
        """The number of jobs that have not begun."""
        return len(self._waiting)

    @property
    def all(self) -> tuple[Job, ...]:
        """The running job and those that wait."""
        with self._lock:
            running = () if self.running is None else (self.running,)
            return (*running, *self._waiting)

    def cancel(self) -> None:
        """Cancels the running job and drops those that wait."""
        with self._lock:
            dropped = list(self._waiting)
            self._waiting.clear()
            running = self.running
        for job in dropped:
            job.status = "cancelled"
            self._notify(job)
        if running is not None:
            running.cancel()
            self._notify(running)

    def close(self, timeout: float = 10.0) -> None:
        """Cancels everything and waits for the worker to end; nothing more can be queued."""
        with self._lock:
            self._closed = True
            worker = self._worker
        self.cancel()
        if worker is not None and worker is not threading.current_thread():
            worker.join(timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Waits until no job waits or runs."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._worker = self.running = None
                    return
                job = self.running = self._waiting.popleft()
            self._do(job)

    def _notify(self, job: Job) -> None:
        """Calls the listener; an error in it is logged and never reaches the job or its caller."""
        try:
            self._changed(job)
        except Exception:
            logging.getLogger(__name__).exception("a listener of the jobs failed")

    def _do(self, job: Job) -> None:
        job.status, job.started = "running", time.monotonic()
        self._notify(job)

        def progress(fraction: float) -> None:
            job.fraction = fraction
            self._notify(job)

        try:
            job.work(progress, lambda: job.cancelling)
            job.status, job.fraction = "done", 1.0
        except Cancelled:
            job.status = "cancelled"
        except Exception as error:  # a failed job must not end the queue
            job.status, job.error = "failed", error
        self.running = None
        self._notify(job)
