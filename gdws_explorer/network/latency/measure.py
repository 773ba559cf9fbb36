"""Measures a network's milliseconds in one of the runtimes, and keeps them on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib import util
from pathlib import Path

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.latency.benchmark import machine_of, measure_layers
from gdws_explorer.network.latency.latency import RUNTIMES, SCHEMA, LatencyTable
from gdws_explorer.network.latency.onnxruntime_benchmark import measure_with_onnxruntime
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils import cache_folder
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.hashing import Digest

FOLDER = "latencies"  # in the user's cache folder


def measure_latency(
    model: nn.Module,
    example: Tensor,
    layers: Sequence[Layer],
    fingerprint: str,
    *,
    runtime: str = "torch",
    batch: int = 1,
    threads: int | None = 1,
    device: str | torch.device | None = None,
    cache: bool | str | os.PathLike[str] = False,
    again: bool = False,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> LatencyTable:
    """Returns the times of a network and its layers, measured now or read from the cache.

    Parameters
    ----------
    model, example, layers, fingerprint : of the dense network; example `(1, C, H, W)`.
    runtime : one of RUNTIMES. batch : images at once. threads : of the runtime; None for as many
    as torch has.
    device : None for the network's own; ONNX Runtime computes on the CPU only.
    cache : a folder; True for the user's cache folder. A table of this network, runtime, batch,
    threads, device, machine and versions is read from there, and written after measuring.
    again : whether to measure where there is such a table, too.
    progress : called with the finished fraction. cancel : checked before every run.

    Raises
    ------
    DataError : a number, the runtime or the device cannot be used. ModelError, ExplorerError : the
    runtime refuses the network, or is not installed. Cancelled : on request.
    """
    if runtime not in RUNTIMES:
        raise DataError(f"unknown runtime {runtime!r}; expected one of {', '.join(RUNTIMES)}.")
    checked_whole("batch", batch, 1)
    threads = torch.get_num_threads() if threads is None else checked_whole("threads", threads, 1)
    place = _device(device, example.device, runtime)
    file = _file(
        cache, (fingerprint, runtime, str(batch), str(threads), str(place)), place, runtime
    )
    if file is not None and file.exists() and not again:
        try:
            return LatencyTable.load(file)
        except DataError:
            pass  # damaged, or of an older version: measured again
    stop_if(cancel)
    if runtime == "torch":
        if place != example.device:
            model, example = model.to(place), example.to(place)
        found = measure_layers(
            model, example, layers, fingerprint, batch=batch, threads=threads,
            progress=progress, cancel=cancel,
        )  # fmt: skip
    else:
        found = measure_with_onnxruntime(
            model, example, layers, fingerprint, batch=batch, threads=threads,
            families=tuple(FAMILIES), progress=progress, cancel=cancel,
        )  # fmt: skip
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        found.save(file)
    return found


def _device(device: str | torch.device | None, own: torch.device, runtime: str) -> torch.device:
    if runtime != "torch":
        if device is not None and torch.device(device).type != "cpu":
            raise DataError(f"{runtime} computes on the CPU only; device is {device!r}.")
        return torch.device("cpu")
    if device is None:
        return own
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, ValueError) as error:
        raise DataError(f"the device {device!r} cannot be used here; leave device out.") from error


def _file(
    cache: bool | str | os.PathLike[str], parts: Sequence[str], place: torch.device, runtime: str
) -> Path | None:
    """Returns the file of a table in the cache, None for no cache."""
    if cache is False:
        return None
    folder = cache_folder.default_folder() / FOLDER if cache is True else Path(cache)
    packages = (runtime,) if runtime != "torch" and util.find_spec(runtime) else ()
    digest = Digest(json.dumps([SCHEMA, *parts, machine_of(place, *packages)], sort_keys=True))
    return folder / f"latency-{digest.hex}.json"
