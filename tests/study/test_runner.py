import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gdws_explorer.errors import Cancelled, ExplorerError
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.runner import LocalExecutor, StudyProgress, StudyRun
from gdws_explorer.study.storage.store import Store

SHARES = (0.4, 0.6, 0.8, 1.0)


@pytest.fixture
def plans(network):
    return [network.budget(macs=share) for share in SHARES]


def test_every_plan_is_measured_once_in_its_order(evaluator, plans, alike):
    seen, moved = [], []
    run = StudyRun(evaluator, [*plans, plans[0]], record=seen.append, progress=moved.append)
    started = time.monotonic()
    records = run.run(LocalExecutor(evaluator))
    assert 0 < run.progress.seconds <= time.monotonic() - started
    assert [r.plan for r in records] == [r.plan for r in seen] == plans
    assert [alike(r) for r in records] == [alike(evaluator.measure(plan)) for plan in plans]
    assert (run.progress.measured, run.progress.total) == (4, 4)
    assert [p.fraction for p in moved] == sorted(p.fraction for p in moved)
    assert run.progress.seconds_left == 0


def test_what_the_store_knows_is_not_measured_again(evaluator, plans):
    store = Store()
    StudyRun(evaluator, plans[:2], store).run(LocalExecutor(evaluator))
    known = store.records()
    run = StudyRun(evaluator, plans, store)
    assert run.run(LocalExecutor(evaluator))[:2] == known
    assert (run.progress.known, run.progress.measured) == (2, 2)
    assert len(store) == 4


def test_the_explorers_batch_knows_what_came_with_the_network(evaluator, plans, network, images):
    bundled = StudyRun(evaluator, plans[:1]).run(LocalExecutor(evaluator))
    store = Store()
    measurements = Measurements(network, images, evaluator.attack, bundled, store)
    seen = []
    run = measurements.study_run(plans, network, record=seen.append)
    assert run.run(LocalExecutor(run.evaluator))[:1] == bundled
    assert [one.plan for one in seen] == plans
    assert (run.progress.known, len(store)) == (1, 3)
    assert {one.plan for one in measurements.records()} == set(plans)


def test_a_cancel_keeps_what_was_measured(evaluator, plans):
    store, stop = Store(), threading.Event()
    run = StudyRun(evaluator, plans, store, cancel=stop, record=lambda _: stop.set())
    with pytest.raises(Cancelled):
        run.run(LocalExecutor(evaluator))
    assert [r.plan for r in store] == [r.plan for r in run.records] == plans[:1]


def test_a_failure_keeps_what_was_measured(evaluator, plans):
    class Breaks(LocalExecutor):
        def start(self, plan, summary):
            if plan == plans[2]:
                raise ExplorerError("no more")
            super().start(plan, summary)

    store = Store()
    with pytest.raises(ExplorerError, match="no more"):
        StudyRun(evaluator, plans, store).run(Breaks(evaluator))
    assert [r.plan for r in store] == plans[:2]


def test_a_store_that_fails_loses_no_record(evaluator, plans):
    class Full(Store):
        def extend(self, records):
            raise ExplorerError("the disk is full")

    run = StudyRun(evaluator, plans, Full())
    with pytest.raises(ExplorerError, match="full"):
        run.run(LocalExecutor(evaluator))
    assert [r.plan for r in run.records] == plans[:1]


def test_paused_it_begins_nothing_until_it_is_resumed(evaluator, plans):
    paused = threading.Event()

    def pause(_record):
        if not paused.is_set():
            run.pause()
            paused.set()

    run = StudyRun(evaluator, plans, record=pause)
    worker = threading.Thread(target=run.run, args=(LocalExecutor(evaluator),))
    worker.start()
    assert paused.wait(60)
    assert run.paused
    assert len(run.records) == 1
    run.resume()
    worker.join(60)
    assert [r.plan for r in run.records] == plans


def test_a_paused_batch_can_be_cancelled(evaluator, plans):
    stop = threading.Event()
    run = StudyRun(evaluator, plans, cancel=stop)
    run.pause()
    stop.set()
    with pytest.raises(Cancelled):
        run.run(LocalExecutor(evaluator))
    assert run.records == ()


def test_a_generator_sees_every_record_before_its_next_plan(evaluator, plans):
    seen = []

    def propose():
        for number, plan in enumerate(plans):
            assert len(seen) == number
            yield plan

    run = StudyRun(evaluator, propose(), total=9, record=seen.append)
    assert len(run.run(LocalExecutor(evaluator))) == 4
    assert run.progress.fraction == 4 / 9


def test_time_left():
    assert StudyProgress(total=10).seconds_left is None
    assert StudyProgress(measured=3, known=2, total=10, seconds=6.0).seconds_left == 10.0
    assert StudyProgress(measured=1, under_way=0.5, total=2, seconds=3.0).seconds_left == 1.0
    assert StudyProgress(measured=3).fraction == 0


SWEEP = """
import sys
import torch
from torch import nn
import gdws_explorer as gx
torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(128, 4))
data = torch.rand(40, 1, 8, 8), torch.arange(40) % 4
records = gx.sweep(
    model, macs=14, data=data, attack=gx.PGD(0.1, steps=10), storage=sys.argv[1],
    record=lambda r: print(r.plan.hash, r.created, flush=True),
)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_from_there(tmp_path):
    path = tmp_path / "study.db"
    command = [sys.executable, "-c", SWEEP, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        before = [first.stdout.readline() for _ in range(3)]
        os.kill(first.pid, signal.SIGKILL)
    kept = len(Store(path))
    assert kept >= 3
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = again.stdout.splitlines(keepends=True)
    assert lines[:3] == before
    assert len(lines) == len({line.split()[0] for line in lines}) == len(Store(path)) > kept
    # Nothing was measured twice: there are as many trials as plans.
    import optuna

    url = f"sqlite:///{path}"
    (name,) = optuna.get_all_study_names(url)
    assert len(optuna.load_study(study_name=name, storage=url).trials) == len(lines)
