"""Open the explorer on a bundled bench, on anybody's network, or on a saved state."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gdws_explorer.bench import Bench, load
from gdws_explorer.errors import DataError, ExplorerError, ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attacks import PGD, Attack
from gdws_explorer.robust.images import check_data
from gdws_explorer.robust.staged import Staged, attack_of

if TYPE_CHECKING:
    from gdws_explorer.bench.own import Own
    from gdws_explorer.explore.attacking import Measure
    from gdws_explorer.explore.store import Store
    from gdws_explorer.widgets.explorer import Explorer

Pair = tuple[Tensor, Tensor]


def explore(
    target: Bench | str | nn.Module | None = None,
    *,
    data: tuple[Any, Any] | None = None,
    calibration: Any = None,
    eps: float | None = None,
    attack: Attack | Staged | Sequence[Attack] | None = None,
    example: Tensor | None = None,
    title: str | None = None,
    skip: Collection[str] | None = None,
    storage: Store | str | os.PathLike[str] | bool | None = None,
    cache: bool | str | os.PathLike[str] = True,
    state: str | None = None,
) -> Explorer:
    """Open the explorer in a notebook.

    Parameters
    ----------
    target : a bench (`gx.load("digits")`), the name of one, or any nn.Module. None with a state
        opens the bench that the state names, else "digits".
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`; a bench brings its own.
    calibration : images `(N, C, H, W)` in [0, 1], or (images, labels), for approximations made
        from data; not those of `data`. A bench brings its training images.
    eps : radius of the ℓ∞ ball for PGD-20; 8/255 unless the bench says otherwise.
    attack : any that `gx.evaluate` takes, instead of eps.
    example : one batch `(N, C, H, W)`, where there are no data.
    title : the headline; by default the bench's, or the model's class.
    skip : layers that budgets leave dense; None skips the first convolution.
    storage : where the records are kept: an SQLite file, True for `gdws-explorer.db` in this
        folder, or a PostgreSQL server, `postgresql://user:password@host/name`. None keeps them in
        memory, so that a lesson leaves nothing behind.
    cache : where the tables of large networks are kept for the next time, as in
        `Network.prepare`, and the checkpoints of trainings; False keeps neither.
    state : the string that `Explorer.state` gave.

    Returns
    -------
    Explorer
        A widget; its `session` holds everything without widgets, `close()` ends its work.
    """
    from gdws_explorer.widgets.quick import quick_plotly

    try:
        with quick_plotly():
            from gdws_explorer.widgets import state as states
            from gdws_explorer.widgets.explorer import Explorer
            from gdws_explorer.widgets.waiting import waiting
    except ModuleNotFoundError as error:
        raise ExplorerError(
            f'the explorer needs {error.name}; install it with: pip install "gdws-explorer[lab]"'
        ) from error
    from gdws_explorer.explore import predict
    from gdws_explorer.explore.measurements import Measurements
    from gdws_explorer.explore.store import Store, open_store
    from gdws_explorer.widgets.session import Session

    raw = None if state is None else states.decode(state)
    if target is None:
        target = (raw or {}).get("bench") or ("digits" if raw is None else None)
        if target is None:
            raise ModelError(
                "the state is of a network of your own; give the model and its data as well."
            )
    bench = load(target) if isinstance(target, str) else target
    if isinstance(bench, Bench):
        model, example = bench.model, bench.example
        data = bench.data if data is None else data
        calibration = bench.train_data if calibration is None else calibration
        attack = attack or (bench.attack if eps is None else PGD(eps))
        title = title or bench.title
    elif isinstance(bench, nn.Module):
        model, title = bench, title or type(bench).__name__
    else:
        raise ModelError(
            f"cannot explore a {type(bench).__name__}; expected a bench, its name, or an nn.Module."
        )
    checked = None if data is None else check_data(data)
    if example is None:
        if checked is None:
            raise DataError("give data=(images, labels), or example= to explore without accuracy.")
        example = checked[0][:1]
    if attack is None and checked is not None:
        attack = PGD(8 / 255 if eps is None else eps)
    attack = attack_of(attack)
    network = Network(model, example, skip=skip)
    with waiting("decomposing every layer") as progress:
        network.prepare(progress, cache=cache)

    def opened(
        network: Network, data: Pair | None, calibration: Any, attack: Measure, title: str,
        known: Bench | None,
    ) -> Session:  # fmt: skip
        records = () if known is None else known.records
        measured = Measurements(
            network, data, attack, records, open_store(storage),
            owned=not isinstance(storage, Store),
        )  # fmt: skip
        name = None if known is None else known.name
        return Session(
            network, measured, title=title, bench=name, calibration=calibration, cache=cache
        )

    def open_own(own: Own, attack: Measure) -> Explorer:
        return Explorer(
            opened(own.network, own.data, own.calibration, attack, own.title, None), open_own
        )

    calibration = None if calibration is None else to_learn_from(calibration)
    bench = bench if isinstance(bench, Bench) else None
    session = opened(network, checked, calibration, attack, title, bench)
    if raw is not None:
        states.restore(session, raw)
    explorer = Explorer(session, open_own)
    predict.warm()  # last: beside the opening it would take as long as it saves
    return explorer


def to_learn_from(given: Any) -> tuple[Tensor, Tensor | None]:
    """Images to calibrate on, with labels or without."""
    if isinstance(given, tuple | list):
        return check_data((given[0], given[1]))
    images = torch.as_tensor(given)
    return check_data((images, torch.zeros(len(images), dtype=torch.int64)))[0], None
