"""Measurements on a Dask cluster. Dask schedules, moves and repeats them; this says what they are.

Importing this imports Dask: do so where a cluster is wanted.
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
LOST = "what was measured is kept: start again, and only what is missing is measured"


@contextmanager
def processes(count: int) -> Iterator[distributed.Client]:
    """So many worker processes on this machine, of one thread each, until the block ends."""
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
    """The cluster of the scheduler at `address`; ExplorerError where none answers."""
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
        self.drop()
        if self._client.status == "running":
            self._client.unregister_worker_plugin(self._name)

    @property
    def room(self) -> int:
        """`ahead` plans for every worker; where none is there yet, as for one."""
        return self._ahead * max(1, self._workers) - len(self._under_way)

    @property
    def busy(self) -> bool:
        """Whether a plan is with the workers."""
        return bool(self._under_way)

    def start(self, plan: Plan, summary: Summary) -> None:
        """Send a plan and its costs."""
        key = f"{self._name}-{plan.hash}"
        with self._there():
            future = self._client.submit(_measure, self._name, plan, summary, key=key, pure=False)
        self._under_way[future] = plan

    def finished(
        self,
        timeout: float,
        progress: Callable[[float], None],
        cancel: Callable[[], bool] | None,
    ) -> Iterable[Record]:
        """What came back, waiting up to `timeout` seconds for the first."""
        with self._there():
            with suppress(TimeoutError), self._client.as_current():
                distributed.wait(
                    list(self._under_way), timeout=timeout, return_when="FIRST_COMPLETED"
                )
            self._workers = len(self._client.nthreads())
        for future in [each for each in self._under_way if each.done()]:
            plan = self._under_way.pop(future)
            yield self._record(future, plan)

    def drop(self) -> None:
        """Cancel what is with the workers; one that measures stops at its next look."""
        if self._under_way and self._client.status == "running":
            self._client.cancel(list(self._under_way))
        self._under_way.clear()

    def _record(self, future: distributed.Future, plan: Plan) -> Record:
        try:
            record: Record = future.result()
        except distributed.KilledWorker as error:
            raise ExplorerError(
                f"the workers die of the plan “{plan}”, most likely of too little memory; {LOST}."
            ) from error
        except CancelledError as error:
            raise ExplorerError(f"the cluster gave the plan “{plan}” up; {LOST}.") from error
        _check_versions("a worker that came later", dict(record.versions))
        return record

    def _check_workers(self) -> None:
        with self._there():
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
    def _there(self) -> Iterator[None]:
        """Say so where the scheduler is gone."""
        try:
            yield
        except (OSError, CancelledError, RuntimeError) as error:
            raise ExplorerError(
                f"the scheduler {self._address} is gone ({first_line(error)}); {LOST}."
            ) from error


class _IgnoreInterrupt(WorkerPlugin):  # type: ignore[misc]
    """Ctrl-C in a terminal reaches all its processes: whoever asks for the work answers it."""

    def setup(self, worker: Any) -> None:
        """Begin; on a worker's main thread."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _EvaluatorActor(WorkerPlugin):  # type: ignore[misc]
    """The evaluator on a worker. One measurement at a time, as torch's random state is shared."""

    def __init__(self, evaluator: PlanEvaluator) -> None:
        self.evaluator = evaluator

    def setup(self, worker: Any) -> None:
        """Begin."""
        self.turn = threading.Lock()


def _measure(name: str, plan: Plan, summary: Summary) -> Record:
    """On a worker: measure a plan, and stop where nobody waits for it any longer."""
    worker = distributed.get_worker()
    key = worker.get_current_task()
    carrier: _EvaluatorActor = worker.plugins[name]

    def forgotten() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    with carrier.turn:
        return carrier.evaluator.measure(plan, summary, cancel=forgotten)


def _facts() -> dict[str, Any]:
    """On a worker: what a measurement depends on."""
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
