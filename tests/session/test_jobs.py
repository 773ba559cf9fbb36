"""Background jobs: in order, with progress, cancel, and no thread left behind."""

import threading
import time

import pytest

from gdws_explorer.errors import Cancelled, ExplorerError
from gdws_explorer.session.jobs import Jobs


def _threads():
    return [t for t in threading.enumerate() if t.name == "gdws-jobs"]


def test_jobs_run_in_order_on_one_thread_that_ends():
    seen, jobs = [], Jobs(lambda job: None)
    for i in range(5):
        jobs.submit(i, lambda progress, cancelled, i=i: seen.append((i, threading.get_ident())))
    jobs.wait(5)
    assert [i for i, _ in seen] == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in {thread for _, thread in seen}
    deadline = time.monotonic() + 5
    while _threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _threads()


def test_progress_and_end_are_told():
    told = []
    jobs = Jobs(lambda job: told.append((job.status, job.fraction)))
    jobs.submit("x", lambda progress, cancelled: progress(0.5))
    jobs.wait(5)
    assert ("running", 0.5) in told
    assert told[-1] == ("done", 1.0)


def test_cancel_stops_the_running_job_and_drops_the_others():
    begun = threading.Event()

    def slow(progress, cancelled):
        begun.set()
        while not cancelled():
            time.sleep(0.005)
        raise Cancelled

    jobs = Jobs(lambda job: None)
    first, second = jobs.submit(1, slow), jobs.submit(2, slow)
    assert begun.wait(5)
    jobs.cancel()
    jobs.wait(5)
    assert (first.status, second.status) == ("cancelled", "cancelled")
    third = jobs.submit(3, lambda progress, cancelled: None)
    jobs.wait(5)
    assert third.status == "done"


def test_a_failing_job_does_not_take_the_queue_with_it():
    def broken(progress, cancelled):
        raise RuntimeError("no")

    jobs = Jobs(lambda job: None)
    first = jobs.submit(1, broken)
    second = jobs.submit(2, lambda progress, cancelled: None)
    jobs.wait(5)
    assert (first.status, second.status) == ("failed", "done")
    assert str(first.error) == "no"


def test_closing_ends_the_worker():
    jobs = Jobs(lambda job: None)

    def slow(progress, cancelled):
        while not cancelled():
            time.sleep(0.005)
        raise Cancelled

    jobs.submit(1, slow)
    jobs.close(5)
    assert not _threads()
    with pytest.raises(ExplorerError, match="closed"):
        jobs.submit(2, slow)


def test_time_left_comes_from_what_is_done():
    seen = []
    jobs = Jobs(lambda job: None)

    def work(progress, cancelled):
        job = jobs.running
        seen.append(job.seconds_left)
        time.sleep(0.05)
        progress(0.5)
        seen.append(job.seconds_left)

    jobs.submit(1, work)
    jobs.wait(5)
    assert seen[0] is None
    assert 0.04 < seen[1] < 5


def test_an_error_in_the_listener_never_fails_a_job(caplog):
    def fail(job):
        raise RuntimeError(f"cannot draw {job.status}")

    jobs = Jobs(fail)

    def work(progress, cancelled):
        progress(0.5)
        progress(0.9)

    first, second = jobs.submit(1, work), jobs.submit(2, work)
    jobs.wait(30)
    assert (first.status, second.status) == ("done", "done")
    assert (first.error, second.error) == (None, None)
    assert jobs.running is None
    jobs.cancel()
    for status in ("waiting", "running", "done"):
        assert f"cannot draw {status}" in caplog.text
