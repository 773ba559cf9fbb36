"""Computes all tables of a network, several layers at a time, and keeps them on disk."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import torch

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.budget.table_cache import Cache, folder_of
from gdws_explorer.network.budget.tables import MEASURES, LayerTables, Spectra
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.threads import one_thread

# Rough work per weight: what takes longest begins first.
WORK = {"gdws": 1, "svd": 8, "tucker2": 12, "spatial": 20}


def prepare(
    spectra: Spectra,
    tables: LayerTables,
    layers: tuple[Layer, ...],
    fingerprint: str,
    cache: bool | str | os.PathLike[str],
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> None:
    """Computes the spectra and tables of these layers; see `Network.prepare`."""
    folder = folder_of(cache, sum(layer.params for layer in layers))
    if folder is not None:
        spectra.cache = Cache(folder / f"{fingerprint}.safetensors")
    jobs = [(layer, family) for layer in layers for family in layer.families]
    jobs.sort(key=lambda job: -_work(*job))
    missing = [job for job in jobs if not _available(*job, tables)]
    total, done = sum(_work(*job) for job in missing) or 1.0, 0.0

    def compute(job: tuple[Layer, str]) -> float:
        for measure in MEASURES:
            tables[measure].choices(*job)
        return _work(*job)

    workers = torch.get_num_threads()
    with one_thread(), ThreadPoolExecutor(workers, initializer=_one_thread) as pool:
        waiting = {pool.submit(compute, job) for job in missing}
        try:
            while waiting:
                stop_if(cancel)
                ready, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                done += sum(future.result() for future in ready)
                if ready:
                    report(progress, done / total)
        except BaseException:  # an interrupt too: jobs that have not begun are dropped
            for future in waiting:
                future.cancel()
            raise
    for layer in layers:  # the tables of `budget`
        tables["macs"].table(layer, tuple(FAMILIES), dense=True)
    if not missing:
        report(progress, 1.0)
    if spectra.cache is not None and missing:
        try:
            spectra.cache.write({**spectra.parts(jobs), **tables.parts(jobs)})
        except (ExplorerError, OSError):
            if cache is not True:  # the user named the folder
                raise


def _available(layer: Layer, family: str, tables: LayerTables) -> bool:
    """Whether a layer's choices in a family are in the tables or on disk."""
    return all(tables[measure].available(layer, family) for measure in MEASURES)


def _work(layer: Layer, family: str) -> float:
    """Returns the rough work of decomposing a layer in a family."""
    return float(layer.params * WORK[family])


def _one_thread() -> None:
    torch.set_num_threads(1)
