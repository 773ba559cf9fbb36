"""Where plans are measured: in this process, in others of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gdws_explorer.errors import ExplorerError
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.runner import Executor, LocalExecutor
from gdws_explorer.utils.checks import checked_whole


@contextmanager
def executor_for(
    meter: PlanEvaluator,
    *,
    workers: int | None = None,
    client: Any = None,
    scheduler: str | None = None,
    ahead: int = 2,
) -> Iterator[Executor]:
    """Who measures until the block ends: this process unless one of the three is given.

    workers : so many processes on this machine, of one thread each. client : a
    `distributed.Client`. scheduler : the address of a Dask scheduler, "tcp://…". ahead : plans that
    a worker may have at a time. Errors: ExplorerError.
    """
    given = {"workers": workers, "client": client, "scheduler": scheduler}
    named = [f"{name}=" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ExplorerError(f"{' and '.join(named)} are given; expected one of them, or none.")
    if not named:
        yield LocalExecutor(meter)
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
        with dask_executor.DaskExecutor(meter, client, ahead) as measuring:
            yield measuring
        return
    opened = (
        dask_executor.processes(workers) if workers else dask_executor.connected(str(scheduler))
    )
    with opened as made, dask_executor.DaskExecutor(meter, made, ahead) as measuring:
        yield measuring
