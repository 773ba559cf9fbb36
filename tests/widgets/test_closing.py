"""A closed explorer leaves nothing behind: no thread, no work, no widget."""

import gc
import threading
import time
import weakref

import pytest
from ipywidgets.widgets import widget as widgets

import gdws_explorer as gx


@pytest.fixture
def before():
    gx.explore("digits").close()  # what the first one loads, stays
    return set(threading.enumerate()), set(widgets._instances)


def test_an_evaluation_leaves_no_thread_and_closing_no_widget(before):
    threads, known = before
    explorer = gx.explore("digits")
    explorer.session.measure_with(gx.FGSM(0.15), 20)
    explorer.session.evaluate()
    explorer.session.jobs.wait(60)
    assert set(threading.enumerate()) == threads, "a worker lives only while there is work"
    explorer.close()
    assert set(widgets._instances) == known


def test_closing_ends_a_running_evaluation_and_those_that_wait(before):
    threads, _ = before
    explorer = gx.explore("digits")
    jobs = [explorer.session.evaluate() for _ in range(3)]
    while jobs[0].status == "waiting":
        time.sleep(0.01)
    assert set(threading.enumerate()) - threads, "or this test proves nothing"
    start = time.monotonic()
    explorer.close()
    assert time.monotonic() - start < 3
    assert set(threading.enumerate()) == threads
    assert [job.status for job in jobs] == ["cancelled"] * 3


def test_a_closed_explorer_is_forgotten(before):
    explorer = gx.explore("digits")
    session = weakref.ref(explorer.session)
    explorer.close()
    del explorer
    gc.collect()
    gc.collect()  # again, for what the first round's finalizers let go
    assert session() is None
