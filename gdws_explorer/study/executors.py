"""Executors of measurements: this process, several processes, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.runner import Executor, LocalExecutor
from gdws_explorer.utils.checks import checked_whole


@dataclass(frozen=True, eq=False)
class Execution:
    """Place of measurements: this process unless one of the three is given.

    workers : number of processes on this machine, of one thread each. client : a
    `distributed.Client`. scheduler : the address of a Dask scheduler, "tcp://…".
    """

    workers: int | None = None
    client: Any = None
    scheduler: str | None = None

    def open(self, evaluator: PlanEvaluator, *, ahead: int = 2) -> AbstractContextManager[Executor]:
        """Opens an executor, as `executor_for` does."""
        return executor_for(
            evaluator,
            workers=self.workers,
            client=self.client,
            scheduler=self.scheduler,
            ahead=ahead,
        )


@contextmanager
def executor_for(
    evaluator: PlanEvaluator,
    *,
    workers: int | None = None,
    client: Any = None,
    scheduler: str | None = None,
    ahead: int = 2,
) -> Iterator[Executor]:
    """Opens an executor until the block ends: this process unless one of the three is given.

    workers : number of processes on this machine, of one thread each. client : a
    `distributed.Client`. scheduler : the address of a Dask scheduler, "tcp://…". ahead : plans that
    a worker may have at a time. Errors: ExplorerError.
    """
    given = {"workers": workers, "client": client, "scheduler": scheduler}
    named = [f"{name}=" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ExplorerError(f"{' and '.join(named)} are given; expected one of them, or none.")
    if not named:
        yield LocalExecutor(evaluator)
        return
    if workers is not None:
        expected = "a whole number from 1 up, or None"
        checked_whole("workers", workers, error=ExplorerError, expected=expected)
    try:
        from gdws_explorer.study import dask_executor
    except ModuleNotFoundError as error:
        raise ExplorerError(
            f'{named[0]} needs {error.name}; install it with: pip install "gdws-explorer[cluster]"'
        ) from error
    if client is not None:
        with dask_executor.DaskExecutor(evaluator, client, ahead) as measuring:
            yield measuring
        return
    opened = (
        dask_executor.processes(workers) if workers else dask_executor.connected(str(scheduler))
    )
    with opened as made, dask_executor.DaskExecutor(evaluator, made, ahead) as measuring:
        yield measuring
