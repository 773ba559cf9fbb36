"""Measurements on a Dask cluster, which schedules, moves and repeats them.

Importing this module imports Dask; import it only where a cluster is used.
"""

from __future__ import annotations

import platform
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

import distributed
from distributed import WorkerPlugin

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.plans.cost import Summary
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.provenance import library_versions

PATIENCE = 10  # seconds for a scheduler to answer
LOST = "the records so far are stored: start again, and only the missing plans are measured"


@contextmanager
def processes(count: int) -> Iterator[distributed.Client]:
    """Starts worker processes on this machine, of one thread each, until the block ends."""
    try:
        cluster = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        )
    except RuntimeError as error:
        raise ExplorerError(
            f"the worker processes do not start ({first_line(error)}); a script must keep what it "
            'does under `if __name__ == "__main__":`, for every process reads it again.'
        ) from error
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        client.register_plugin(_IgnoreInterrupt())
        yield client


@contextmanager
def connected(address: str) -> Iterator[distributed.Client]:
    """Connects to the cluster of the scheduler at `address`; ExplorerError without an answer."""
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExplorerError(
            f"the scheduler {address} cannot be reached ({first_line(error)}); start one with "
            "`dask scheduler`, and give the address that it prints, such as tcp://host:8786."
        ) from error
    with client:
        yield client


class DaskExecutor:
    """Executor on the workers of a Dask cluster; a context manager that clears the workers.

    evaluator : sent to every worker once, also to workers that come later. ahead : plans that a
        worker may have at a time, the one that it measures included.

    Raises ExplorerError for workers with other versions of what a measurement depends on, and for
    a model that they cannot load.
    """

    def __init__(
        self, evaluator: PlanEvaluator, client: distributed.Client, ahead: int = 2
    ) -> None:
        self._client = client
        self._ahead = ahead
        self._name = f"gdws-{uuid.uuid4().hex[:12]}"
        self._under_way: dict[distributed.Future, Plan] = {}
        self._workers = 0
        self._address = client.scheduler_info()["address"]
        self._check_workers()
        try:
            client.register_plugin(_EvaluatorActor(evaluator), name=self._name)
        except Exception as error:
            raise ExplorerError(
                f"the workers cannot load the network ({first_line(error)}); its code must be "
                "installed where they run, or sent with client.upload_file."
            ) from error

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        # The client of a scheduler that is gone may not know it yet: there is nothing to clear.
        with suppress(OSError, CancelledError):
            self.drop()
            if self._client.status == "running":
                self._client.unregister_worker_plugin(self._name)

    @property
    def room(self) -> int:
        """The number of further plans: `ahead` for every worker, at least for one worker."""
        return self._ahead * max(1, self._workers) - len(self._under_way)

    @property
    def busy(self) -> bool:
        """Whether the workers have a plan."""
        return bool(self._under_way)

    def start(self, plan: Plan, summary: Summary) -> None:
        """Sends a plan and its costs to the workers."""
        key = f"{self._name}-{plan.hash}"
        with self._scheduler_errors():
            future = self._client.submit(_measure, self._name, plan, summary, key=key, pure=False)
        self._under_way[future] = plan

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """Returns new records; waits up to `timeout` seconds for the first."""
        with self._scheduler_errors():
            with suppress(TimeoutError), self._client.as_current():
                distributed.wait(
                    list(self._under_way), timeout=timeout, return_when="FIRST_COMPLETED"
                )
            self._workers = len(self._client.nthreads())
        for future in [each for each in self._under_way if each.done()]:
            plan = self._under_way.pop(future)
            yield self._record(future, plan)

    def drop(self) -> None:
        """Cancels the plans at the workers; a running measurement stops at its next check."""
        if self._under_way and self._client.status == "running":
            self._client.cancel(list(self._under_way))
        self._under_way.clear()

    def _record(self, future: distributed.Future, plan: Plan) -> Record:
        try:
            record: Record = future.result()
        except distributed.KilledWorker as error:
            raise ExplorerError(
                f"the workers stop at the plan “{plan}”, most likely for lack of memory; {LOST}."
            ) from error
        except CancelledError as error:
            raise ExplorerError(f"the cluster cancelled the plan “{plan}”; {LOST}.") from error
        _check_versions("a worker that joined later", dict(record.versions))
        return record

    def _check_workers(self) -> None:
        with self._scheduler_errors():
            found: dict[str, Any] = self._client.run(_facts, on_error="return")
        self._workers = len(found)
        for address, facts in found.items():
            if isinstance(facts, BaseException):
                raise ExplorerError(
                    f"the worker {address} cannot measure ({first_line(facts)}); install "
                    "gdws-explorer where it runs, in the version that is used here."
                )
            if facts["python"] != _facts()["python"]:
                raise ExplorerError(
                    f"the worker {address} has Python {facts['python']}, here it is "
                    f"{_facts()['python']}; start it with the same."
                )
            _check_versions(f"the worker {address}", facts["versions"])

    @contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        """Turns the errors of a lost scheduler into an ExplorerError."""
        try:
            yield
        except (OSError, CancelledError, RuntimeError) as error:
            raise ExplorerError(
                f"the scheduler {self._address} is gone ({first_line(error)}); {LOST}."
            ) from error


class _IgnoreInterrupt(WorkerPlugin):  # type: ignore[misc]
    """Ctrl-C reaches all processes of a terminal; the workers ignore it, the main process ends."""

    def setup(self, worker: Any) -> None:
        """Ignores the signal; called on a worker's main thread."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _EvaluatorActor(WorkerPlugin):  # type: ignore[misc]
    """The evaluator on a worker. One measurement at a time, as torch's random state is shared."""

    def __init__(self, evaluator: PlanEvaluator) -> None:
        self.evaluator = evaluator

    def setup(self, worker: Any) -> None:
        """Makes the lock that keeps measurements apart."""
        self.lock = threading.Lock()


def _measure(name: str, plan: Plan, summary: Summary) -> Record:
    """Measures a plan on a worker; stops when its result is no longer needed."""
    worker = distributed.get_worker()
    key = worker.get_current_task()
    actor: _EvaluatorActor = worker.plugins[name]

    def cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    with actor.lock:
        return actor.evaluator.measure(plan, summary, cancel=cancelled)


def _facts() -> dict[str, Any]:
    """Returns the versions that a measurement on this worker depends on."""
    return {"versions": library_versions(), "python": ".".join(platform.python_version_tuple()[:2])}


def _check_versions(who: str, theirs: dict[str, str]) -> None:
    ours = library_versions()
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            raise ExplorerError(
                f"{who} has {name} {theirs.get(name, 'not installed')}, here it is "
                f"{ours.get(name, 'not installed')}; install the same, as measurements of "
                "different versions do not belong together."
            )
