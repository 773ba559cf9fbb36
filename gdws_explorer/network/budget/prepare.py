"""All tables of a network at once: several layers side by side, and kept on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import torch

from gdws_explorer.errors import Cancelled, ExplorerError
from gdws_explorer.network.budget.table_cache import Cache, folder_of
from gdws_explorer.network.budget.tables import MEASURES, LayerTables, Spectra
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.utils.threads import one_thread

# Rough work per weight, to begin with what takes longest.
WORK = {"gdws": 1, "svd": 8, "tucker2": 12, "spatial": 20}


def prepare(
    spectra: Spectra,
    tables: LayerTables,
    layers: tuple[Layer, ...],
    fingerprint: str,
    cache: bool | str | os.PathLike[str],
    progress: Callable[[float], None] | None,
    cancel: Callable[[], bool] | None,
) -> None:
    """Compute what `Network.prepare` says."""
    folder = folder_of(cache, sum(layer.params for layer in layers))
    if folder is not None:
        spectra.cache = Cache(folder / f"{fingerprint}.safetensors")
    jobs = [(layer, one) for layer in layers for one in layer.families]
    jobs.sort(key=lambda job: -_work(*job))
    missing = [job for job in jobs if not _read(*job, tables)]
    whole, done = sum(_work(*job) for job in missing) or 1.0, 0.0

    def compute(job: tuple[Layer, str]) -> float:
        layer, one = job
        for measure in MEASURES:
            tables.options(layer, one, measure)
        return _work(layer, one)

    workers = torch.get_num_threads()
    with one_thread(), ThreadPoolExecutor(workers, initializer=_one_thread) as pool:
        waiting = {pool.submit(compute, job) for job in missing}
        try:
            while waiting:
                if cancel is not None and cancel():
                    raise Cancelled
                ready, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                done += sum(future.result() for future in ready)
                if progress is not None and ready:
                    progress(done / whole)
        except BaseException:  # an interrupt too: what has not begun never does
            for future in waiting:
                future.cancel()
            raise
    for layer in layers:  # what `budget` walks
        tables.table(layer, tuple(FAMILIES), "macs", dense=True)
    if progress is not None and not missing:
        progress(1.0)
    if spectra.cache is not None and missing:
        try:
            spectra.cache.write({**spectra.parts(jobs), **tables.parts(jobs)})
        except (ExplorerError, OSError):
            if cache is not True:  # a folder that somebody named
                raise


def _read(layer: Layer, one: str, tables: LayerTables) -> bool:
    """Whether a layer's choices in a family are on disk; they are then in the tables."""
    return all(tables.known(layer, one, measure) for measure in MEASURES)


def _work(layer: Layer, one: str) -> float:
    return float(layer.params * WORK[one])


def _one_thread() -> None:
    torch.set_num_threads(1)
