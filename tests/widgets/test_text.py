"""The explorer's sentences for given states of a session."""

import threading

from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import Filters
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.utils.format import millions
from gdws_explorer.widgets import text


def test_the_title_has_the_size_of_the_network(digits_session):
    network = digits_session.network
    found = text.head(digits_session)
    assert f"{millions(network.params)} parameters" in found
    assert f"{millions(network.macs)} MACs per image" in found
    assert f"{len(network.names)} layers" in found


def test_names_are_escaped(digits_session):
    digits_session.title = "<b>&"
    assert "&lt;b&gt;&amp;" in text.head(digits_session)
    digits_session.show_message("<script>", failed=True)
    assert "&lt;script&gt;" in text.message(digits_session)


def test_the_setting_is_attack_images_and_seed(digits_session):
    attack, n, seed = digits_session.measurements.how
    assert text.setting(digits_session) == f"{attack.label} · n {n} · seed {seed}"
    digits_session.measure_with(None, 20)
    assert text.setting(digits_session).startswith("no attack · n 20 · ")


def test_the_note_counts_records_and_those_that_fail_the_filters(digits_session):
    shown = digits_session.measurements.records(digits_session.measurements.shown)
    assert f"{len(shown)} plans measured with " in text.records(digits_session)
    assert "greyed out" not in text.records(digits_session)
    filters = Filters().bound("clean", 0.9)
    digits_session.record_filter.apply(filters)
    grey = sum(record.clean < 0.9 for record in shown)
    assert 0 < grey < len(shown)
    assert f"{grey} are greyed out: not {filters}." in text.records(digits_session).replace(
        "&gt;", ">"
    )


def test_without_records_the_note_names_the_button(digits_network, bench):
    with_images = Measurements(digits_network, bench.data, bench.attack)
    session = Session.of(digits_network, with_images, title="digits")
    expected = f"No plan is measured yet with {text.setting(session)}: press Evaluate."
    assert expected in text.records(session)
    session.close()
    session = Session.of(digits_network, Measurements(digits_network, None, None), title="digits")
    assert "no images here to measure on; open with data=" in text.records(session)
    session.close()


def test_an_estimate_needs_an_attack_and_a_plan_without_a_record(digits_session):
    digits_session.show(digits_session.measurements.records()[0].plan)
    measured = text.estimate(digits_session, digits_session.snapshot)
    assert "This plan is measured: no estimate is needed." in measured
    digits_session.controls.move_budget("macs", 0.123)
    assert "estimating …" in text.estimate(digits_session, digits_session.snapshot)
    digits_session.measure_with(None, 20)
    assert "without an attack" in text.estimate(digits_session, digits_session.snapshot)


def test_a_job_is_shown_with_its_fraction_and_the_queue(digits_session):
    assert text.job(digits_session) == ""
    reached, go = threading.Event(), threading.Event()

    def work(progress, cancelled):
        progress(0.25)
        reached.set()
        go.wait(60)

    digits_session.jobs.submit("reading", work)
    digits_session.jobs.submit("another", lambda progress, cancelled: None)
    assert reached.wait(60)
    found = text.job(digits_session)
    assert found.startswith("reading 25%")
    assert found.endswith(" · 1 waiting")
    digits_session.jobs.cancel()
    assert text.job(digits_session) == "stopping …"
    go.set()
    digits_session.jobs.wait(60)
    assert text.job(digits_session) == ""


def test_words_mark_an_error(digits_session):
    assert text.message(digits_session) == ""
    digits_session.show_message("hello")
    assert text.message(digits_session) == '<span role="status">hello</span>'
    digits_session.show_message("no", failed=True)
    assert "Cannot do that:" in text.message(digits_session)
    assert 'role="alert"' in text.message(digits_session)
