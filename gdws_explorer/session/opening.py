"""The parts of a session, made from a target: its network, measurements and calibration images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gdws_explorer.bench.target import Target
from gdws_explorer.errors import ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.storage.store import Store, open_store


@dataclass(frozen=True, eq=False)
class SessionParts:
    """The parts of a session.

    network : its tables are computed. title : the headline. bench : name of a bundled one.
    calibration : images and labels or None, for approximations made from data. cache : as in
    `Network.prepare`.
    """

    network: Network
    measurements: Measurements
    title: str
    bench: str | None = None
    calibration: tuple[Tensor, Tensor | None] | None = None
    cache: bool | str | os.PathLike[str] = False


def open_target(
    target: Target,
    *,
    storage: Store | str | os.PathLike[str] | bool | None = None,
    cache: bool | str | os.PathLike[str] = True,
    progress: Callable[[float], None] | None = None,
) -> SessionParts:
    """Decomposes the target's network and opens the storage of its records.

    The parameters are those of `Session`. Raises ModelError for a calibrated or refitted network.
    """
    network, bench = target.network, target.bench
    if network.label is not None:
        raise ModelError(
            "the network is calibrated or refitted already; open the plain network, and choose "
            "what its plans are made from in the explorer."
        )
    network.prepare(progress, cache=cache)
    measurements = Measurements(
        network,
        target.data,
        target.attack,
        () if bench is None else bench.records,
        open_store(storage),
        owned=not isinstance(storage, Store),
    )
    name = None if bench is None else bench.name
    return SessionParts(network, measurements, target.title, name, target.calibration, cache)
