"""Progress bar and Cancel of one job."""

import threading

import ipywidgets as w
import pytest

import gdws_explorer as gx
from gdws_explorer.session.session import Session
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.widgets.job_controls import JobControls


@pytest.fixture
def session():
    made = Session("digits")
    yield made
    made.close()


@pytest.fixture
def controls(session):
    made = JobControls(session, w.Button(), w.HTML(), "Stop")
    session.subscribe(lambda _event, _snapshot: made.refresh(), ["job"])
    return made


def test_before_a_job_there_is_nothing_to_cancel(controls):
    assert (controls.alive, controls.job) == (False, None)
    assert controls.cancel_button.disabled
    assert not controls.start_button.disabled
    assert controls.bar.layout.display == "none"


def test_a_job_shows_its_progress_and_can_be_cancelled(controls, session):
    reached = threading.Event()

    def work(progress, cancelled):
        progress(0.5)
        reached.set()
        while True:
            stop_if(cancelled)

    controls.start("waiting", work)
    assert reached.wait(60)
    assert controls.alive
    assert controls.start_button.disabled
    assert not controls.cancel_button.disabled
    assert (controls.bar.value, controls.bar.layout.display) == (0.5, None)
    controls.cancel_button.click()
    session.jobs.wait(60)
    assert controls.job.status == "cancelled"
    assert not controls.start_button.disabled
    assert controls.message.value == ""


def test_an_error_is_shown_once(controls, session):
    def fail(progress, cancelled):
        raise gx.DataError("no <images>")

    controls.start("failing", fail)
    session.jobs.wait(60)
    assert "no &lt;images&gt;" in controls.message.value
    controls.message.value = "something newer"
    controls.refresh()
    assert controls.message.value == "something newer"
