"""Every public method of a session and its parts from eight threads at once."""

import inspect
import itertools
import threading

import pytest

import gdws_explorer as gx
from gdws_explorer.session.controls import Controls
from gdws_explorer.session.record_filter import RecordFilter
from gdws_explorer.session.session import Session
from gdws_explorer.study.filters import Filters

ROUNDS, THREADS = 3, 8
# Called once at the end, or only with work that another test does (a training, a custom network).
APART = {"Session.close", "Session.of", "Session.train", "Session.open_custom"}


def calls(session, folder, number):
    """One call of every public method, by its name."""
    controls, found = session.controls, session.record_filter
    names = itertools.cycle(session.network.names)
    for _ in range(number):
        next(names)
    name, share = next(names), 0.3 + 0.08 * number
    record = session.measurements.records()[number]
    return {
        "Controls.scale": lambda: controls.scale(name),
        "Controls.positions": lambda: controls.positions(name),
        "Controls.put": lambda: controls.put(record.plan),
        "Controls.put_state": lambda: controls.put_state(controls.state),
        "Controls.apply_preset": lambda: controls.apply_preset("Half the MACs, GDWS only"),
        "Controls.change_source": lambda: controls.change_source(session.views.plain),
        "Controls.reset": controls.reset,
        "Controls.undo": controls.undo,
        "Controls.redo": controls.redo,
        "Controls.pin": lambda: controls.pin("ABCD"[number % 4]),
        "Controls.select": lambda: controls.select(name),
        "Controls.set_slider_meaning": lambda: controls.set_slider_meaning("macs"),
        "Controls.move_slider": lambda: controls.move_slider(name, [share], number),
        "Controls.set_numbers": lambda: controls.set_numbers("conv4", [100 * share]),
        "Controls.set_family": lambda: controls.set_family("conv4", "svd"),
        "Controls.lock_layer": lambda: controls.lock_layer(name, False),
        "Controls.skip_layer": lambda: controls.skip_layer(name, False),
        "Controls.set_budget_meaning": lambda: controls.set_budget_meaning("params"),
        "Controls.move_budget": lambda: controls.move_budget("macs", share, number),
        "Controls.set_budget": lambda: controls.set_budget("macs", 0.9),
        "Controls.set_families": lambda: controls.set_families(("gdws", "svd")),
        "Controls.set_weighing": lambda: controls.set_weighing("squared"),
        "RecordFilter.apply": lambda: found.apply(Filters().bound("clean", 0.01 * number), number),
        "RecordFilter.undo": found.undo,
        "RecordFilter.redo": found.redo,
        "RecordFilter.kept": found.kept,
        "RecordFilter.knee": lambda: found.knee("clean", "macs"),
        "RecordFilter.cheapest": lambda: found.cheapest("clean", "macs"),
        "Session.subscribe": lambda: session.subscribe(lambda event, now: None, ["filters"]),
        "Session.notify": lambda: session.notify("job"),
        "Session.show_errors": lambda: session.show_errors().__enter__,
        "Session.show_message": lambda: session.show_message("hello"),
        "Session.show": lambda: session.show(record.plan),
        "Session.choose_source": lambda: session.choose_source("weights"),
        "Session.set_budget_meaning": lambda: session.set_budget_meaning("error"),
        "Session.measure_with": lambda: session.measure_with(
            session.measurements.attack, session.measurements.n
        ),
        "Session.show_setting": lambda: session.show_setting(session.measurements.setting),
        "Session.step_along_front": lambda: session.step_along_front(1),
        "Session.evaluate": lambda: session.evaluate().cancel(),
        "Session.measure_latency": lambda: session.measure_latency().cancel(),
        "Session.show_live_estimates": lambda: session.show_live_estimates(False),
        "Session.job_queue": lambda: session.job_queue("other"),
        "Session.export": lambda: number == 0 and session.export(folder / str(number)),
    }


def public_methods():
    """The public methods of the three classes, by name."""
    return {
        f"{kind.__name__}.{name}"
        for kind in (Session, Controls, RecordFilter)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or name == "of")
    }


def test_every_public_method_is_called(digits_session, tmp_path):
    assert set(calls(digits_session, tmp_path, 0)) == public_methods() - APART


@pytest.mark.slow
def test_eight_threads_end_with_a_consistent_state(digits_session, tmp_path):
    session, errors = digits_session, []
    start = threading.Barrier(THREADS)
    seen = []

    def listen(event, now):
        assert now.summary == now.network.summary(now.plan), "a snapshot is of one moment"
        assert now.plan is now.state.plan
        seen.append(event)

    session.subscribe(listen, ["plan"])

    def work(number):
        made = list(calls(session, tmp_path, number).items())
        start.wait(60)
        for turn in range(ROUNDS):
            for name, call in made[number * 5 + turn :] + made[: number * 5 + turn]:
                if name == "Session.export" and turn:
                    continue
                try:
                    call()
                except gx.ExplorerError:
                    pass  # refused, such as a slider of a layer that has no such family
                except Exception as error:
                    errors.append((name, error))

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive(), "a deadlock"
    session.jobs.cancel()
    session.jobs.wait(60)
    assert errors == []
    assert seen
    assert session.snapshot.summary == session.network.summary(session.plan)
    steps = len(session.controls.history.past)
    for _ in range(steps):
        session.controls.undo()
    assert not session.controls.history.past
    session.network.check(session.plan)


def test_a_closed_session_refuses_new_work(digits_session):
    digits_session.close()
    with pytest.raises(gx.ExplorerError, match="closed"):
        digits_session.evaluate()
