"""Real worker processes, killed and cancelled; what they measure is what this process measures."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm import CommClosedError

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled, DataError, ExplorerError
from gdws_explorer.robust import PGD
from gdws_explorer.study import dask_executor
from gdws_explorer.study.executors import executor_for
from gdws_explorer.study.runner import LocalExecutor, StudyRun
from gdws_explorer.study.storage.store import Store


@pytest.fixture(scope="module")
def client():
    """Two worker processes, and a client of them."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as workers,
        Client(workers, set_as_default=False) as one,
    ):
        yield one


@pytest.fixture
def slow_meter(evaluator):
    """Evaluations long enough to be interrupted."""
    return replace(evaluator, attack=PGD(0.1, steps=40))


@pytest.fixture
def plans(network):
    shares = [0.35 + 0.05 * step for step in range(14)]
    return list({p.hash: p for p in (network.budget(macs=min(1, s)) for s in shares)}.values())


@pytest.mark.slow
def test_a_killed_workers_evaluations_are_run_again(client, slow_meter, plans, alike):
    serial = StudyRun(slow_meter, plans).run(LocalExecutor(slow_meter))
    store, seen, killed = Store(), [], []

    def record(one):
        seen.append(one.plan.hash)
        if len(seen) == 2:
            address, pid = next(iter(client.run(os.getpid).items()))
            assert pid != os.getpid()
            os.kill(pid, signal.SIGKILL)
            killed.append(address)

    batch = StudyRun(slow_meter, plans, store, record=record)
    with executor_for(slow_meter, client=client) as those:
        records = batch.run(those)
    assert killed
    assert sorted(seen) == sorted(plan.hash for plan in plans)  # each of them once
    assert [alike(one) for one in records] == [alike(one) for one in serial]
    assert {r.plan.hash for r in store.records()} == set(seen)
    client.wait_for_workers(2, timeout=120)  # the one that was started again
    assert killed[0] not in client.nthreads()


def _plugins(dask_worker):
    return [name for name in dask_worker.plugins if name.startswith("gdws-")]


@pytest.mark.slow
def test_the_model_travels_once_and_is_gone_afterwards(client, evaluator, plans, monkeypatch):
    sent = []
    before = dask_executor._EvaluatorActor.__getstate__

    def counting(self):
        sent.append(self)
        return before(self)

    monkeypatch.setattr(dask_executor._EvaluatorActor, "__getstate__", counting)
    with executor_for(evaluator, client=client) as those:
        StudyRun(evaluator, plans).run(those)
        held = client.run(_plugins)
        assert {tuple(names) for names in held.values()} == {(those._name,)}
    assert len(sent) == 1
    left = client.run(_plugins)
    assert set(map(tuple, left.values())) == {()}


@pytest.mark.slow
def test_cancel_stops_what_has_not_begun_and_what_measures(client, slow_meter, plans):
    stop = threading.Event()
    endless = replace(slow_meter, attack=PGD(0.1, steps=100_000))
    batch = StudyRun(endless, plans, cancel=stop)
    with executor_for(endless, client=client) as those:
        threading.Timer(1.0, stop.set).start()
        with pytest.raises(Cancelled):
            batch.run(those)
        assert not those.busy
    # The workers are free again: nothing of the 100,000 steps is left to do.
    assert len(StudyRun(slow_meter, plans[:2]).run(LocalExecutor(slow_meter))) == 2
    with executor_for(slow_meter, client=client) as those:
        assert len(StudyRun(slow_meter, plans[:2]).run(those)) == 2


@pytest.mark.slow
def test_a_workers_mistake_is_told_as_it_is(client, evaluator, images, plans):
    wrong = replace(evaluator, data=(images[0], images[1] + 7))
    with (
        executor_for(wrong, client=client) as those,
        pytest.raises(DataError, match="a label is 10"),
    ):
        StudyRun(wrong, plans).run(those)


@pytest.mark.slow
def test_workers_with_other_versions_are_refused(client, evaluator, monkeypatch):
    monkeypatch.setattr(dask_executor, "library_versions", lambda: {"torch": "0.4.1"})
    with pytest.raises(ExplorerError, match=r"the worker tcp.* has .*, here it is") as caught:
        dask_executor.DaskExecutor(evaluator, client)
    assert "install the same" in str(caught.value)


@pytest.mark.slow
def test_a_worker_that_comes_later_with_other_versions_is_refused(client, evaluator, plans):
    odd = {**dask_executor.library_versions(), "torch": "0.4.1"}
    with executor_for(evaluator, client=client) as those:
        record = replace(
            evaluator.measure(plans[0], evaluator.network(plans[0]).summary(plans[0])), versions=odd
        )

        class Future:
            def result(self):
                return record

        with pytest.raises(ExplorerError, match=r"joined later has torch 0\.4\.1"):
            those._record(Future(), plans[0])


@pytest.mark.slow
def test_a_plan_that_workers_die_of_is_named(client, evaluator, plans):
    class Future:
        def result(self):
            raise KilledWorker("task", "worker", 3)

    with (
        executor_for(evaluator, client=client) as those,
        pytest.raises(ExplorerError, match=f"workers stop at the plan “{plans[0]}”"),
    ):
        those._record(Future(), plans[0])


@pytest.mark.slow
def test_a_search_runs_on_workers_too(client, evaluator, network):
    from gdws_explorer.study.objectives import Objectives
    from gdws_explorer.study.search import Search

    finder = Search([network], Objectives(network), evaluations=12, warm=4)
    batch = StudyRun(evaluator, finder.plans(), record=finder.tell, total=12)
    with executor_for(evaluator, client=client, ahead=1) as those:
        assert len(batch.run(those)) == 12
    assert not finder._waiting


@pytest.mark.slow
def test_worker_processes_by_their_number(evaluator, plans, alike, capfd):
    with executor_for(evaluator, workers=2) as those:
        records = StudyRun(evaluator, plans[:4]).run(those)
    serial = StudyRun(evaluator, plans[:4]).run(LocalExecutor(evaluator))
    assert [alike(one) for one in records] == [alike(one) for one in serial]
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def cluster_of_its_own(tmp_path):
    """A scheduler and a worker started from the shell: the scheduler's address, and its process."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    paths = {"PYTHONPATH": str(Path(gx.__file__).parents[1])}
    quiet = {"stderr": subprocess.DEVNULL, "env": {**os.environ, **paths}, "cwd": tmp_path}
    words = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    worker = ["--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file)]
    with (
        subprocess.Popen([*dask, "scheduler", *words, "--scheduler-file", str(file)], **quiet) as a,
        subprocess.Popen([*dask, "worker", *worker], **quiet) as b,
    ):
        while not file.is_file() or not file.read_text():
            assert a.poll() is None
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], a
        for one in (b, a):
            one.terminate()


@pytest.mark.slow
def test_by_the_address_of_a_scheduler_until_that_is_gone(cluster_of_its_own, slow_meter, plans):
    address, scheduler = cluster_of_its_own
    store = Store()

    def record(_one):
        if len(store) == 3:
            scheduler.kill()

    batch = StudyRun(slow_meter, plans, store, record=record)
    with (
        pytest.raises(ExplorerError, match="only the missing plans are measured"),
        executor_for(slow_meter, scheduler=address) as those,
    ):
        batch.run(those)
    assert 3 <= len(store) < len(plans)


def test_a_scheduler_that_is_gone_before_the_client_knows(evaluator):
    def closed(*_given):
        raise CommClosedError("connection reset")

    client = SimpleNamespace(
        status="running", scheduler_info=lambda: {"address": "tcp://here:1"},
        run=lambda *_, **_given: {}, register_plugin=lambda *_, **_given: None,
        unregister_worker_plugin=closed,
    )  # fmt: skip
    with (
        pytest.raises(ExplorerError, match="the worker is lost"),
        dask_executor.DaskExecutor(evaluator, client),
    ):
        raise ExplorerError("the worker is lost")


def test_a_scheduler_that_is_not_there(evaluator, monkeypatch):
    monkeypatch.setattr(dask_executor, "PATIENCE", 0.5)
    with (
        pytest.raises(ExplorerError, match=r"the scheduler tcp://127\.0\.0\.1:9 cannot be reached"),
        executor_for(evaluator, scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_processes_that_do_not_start(evaluator, monkeypatch):
    def fails(**_settings):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(dask_executor.distributed, "LocalCluster", fails)
    with (
        pytest.raises(ExplorerError, match="under `if __name__"),
        executor_for(evaluator, workers=2),
    ):
        pass
