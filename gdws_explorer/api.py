"""The functions of the top level: gx.explore, gx.sweep and gx.search."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from torch import Tensor

from gdws_explorer.bench.target import (
    DEFAULT_ATTACK,
    AnyAttack,
    AnyTarget,
    Target,
    resolve_target,
)
from gdws_explorer.errors import DataError, ExplorerError, ModelError
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.sequence import checked_attack
from gdws_explorer.study.records import Record
from gdws_explorer.typing import Cancel

if TYPE_CHECKING:
    from gdws_explorer.bench.custom import CustomBench
    from gdws_explorer.study.attack_settings import AttackSpec
    from gdws_explorer.study.executors import Execution
    from gdws_explorer.study.runner import StudyProgress
    from gdws_explorer.study.storage.store import Store
    from gdws_explorer.study.study_job import StudyJob
    from gdws_explorer.study.study_spec import StudySpec
    from gdws_explorer.widgets.explorer import Explorer

Images = tuple[Any, Any]
Sources = str | Sequence[str]
Storage = Union["Store", str, os.PathLike[str], bool, None]


class SearchResult(NamedTuple):
    """The records of a search.

    front : the non-dominated records of the last stage that satisfy the constraints. records : all
    records of the last stage. stages : all records, stage by stage, in the order of measurement.
    hypervolume : after each record of the first stage.
    """

    front: tuple[Record, ...]
    records: tuple[Record, ...]
    stages: tuple[tuple[Record, ...], ...]
    hypervolume: tuple[float, ...]


def sweep(
    target: AnyTarget,
    *,
    beta: int | Iterable[float] = (),
    macs: int | Iterable[float] = (),
    params: int | Iterable[float] = (),
    families: Sequence[str] = ("any",),
    layers: Collection[str] | None = None,
    sources: Sources = "weights",
    alpha: bool = False,
    data: Images | None = None,
    calibration: Any = None,
    attack: AnyAttack = DEFAULT_ATTACK,
    n: int | None = None,
    seed: int = 0,
    skip: Collection[str] | None = None,
    storage: Storage = None,
    workers: int | None = None,
    client: Any = None,
    scheduler: str | None = None,
    record: Callable[[Record], None] | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
    cancel: Cancel = None,
) -> tuple[Record, ...]:
    """Measures a grid of plans, each plan once; plans with a stored record are not measured again.

    Parameters
    ----------
    target : Bench, str, nn.Module or Network
        A bench, its name, any module, or a Network. The plans are those of the Network where it is
        calibrated or refitted.
    beta : int or iterable of float
        Bounds on each layer's squared error, as in the paper's experiment. An int is the number of
        bounds, spaced evenly by their logarithm over the useful range.
    macs, params : int or iterable of float
        Budgets as fractions of the dense network, in (0, 1]. An int is the number of budgets, from
        the least possible one to 1.
    families : sequence of str
        Budgets are met with each of these alone: "gdws", "tucker2", "svd", "spatial", or "any" for
        all together.
    layers : collection of str, optional
        Only one of these layers at a time is approximated, and budgets are fractions of that layer.
    sources : str or sequence of str
        What plans are made from: "weights"; "refit", the weights refitted on images; "data", the
        layers' inputs on images, refitted. The last two, and alpha, need `calibration`.
    alpha : bool
        Weigh β by eq. 8 of Dbouk & Shanbhag.
    data : (images, labels), optional
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`; a bench brings its own.
    calibration : images, or (images, labels), optional
        Images to make plans from, other than those of `data`; a bench brings its training images.
        They are read under the attack of the measurement, or under plain PGD in the same ball
        where that attack is another one; always with one restart.
    attack : Attack, sequence of Attack, None or "usual"
        As in `gx.evaluate`; None for clean accuracy only. `gx.DEFAULT_ATTACK`, "usual", is the
        attack of the bench, and PGD-20 with ε 8/255 for other networks.
    n, seed : int
        Number of images (None: all, but at most 360), which images, and the noise of the attack.
    skip : collection of str, optional
        Layers that budgets leave dense, as in `Network`.
    storage : Store, path, URL or True, optional
        Where the records are kept, as in `gx.explore`; None for memory.
    workers, client, scheduler : optional
        Measure in that many processes, on the cluster of a `distributed.Client`, or of the Dask
        scheduler at "tcp://…"; in this process unless one of the three is given.
    record : callable, optional
        Called with every record when it arrives, known ones included.
    progress : callable, optional
        Called with a `StudyProgress` (a float with counts and the time left), at most ten times a
        second.
    cancel : Event or callable, optional
        Ends the sweep with Cancelled.

    Returns
    -------
    tuple of Record
        In the order of the plans. When a sweep ends early, the storage has what was measured, and
        the same call continues from there: also a call of the explorer's panel or the command line.

    Raises
    ------
    DataError, ModelError, BudgetError, PlanError, ExplorerError
        An argument cannot be used; the message names it.
    Cancelled
        `cancel` requested it.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> records = gx.sweep("digits", macs=[0.3, 0.6], attack=None, n=20)
    >>> [record.macs < 115_000 for record in records]
    [True, True]
    """
    from gdws_explorer.study.executors import Execution
    from gdws_explorer.study.study_spec import SweepSpec
    from gdws_explorer.study.sweep import Grid

    beta, macs, params = (
        given if isinstance(given, int) else tuple(given) for given in (beta, macs, params)
    )
    spec = SweepSpec(Grid(beta, macs, params, families, layers), _names(sources), alpha)
    found = resolve_target(target, data=data, calibration=calibration, attack=attack, skip=skip)
    job = _study(spec, found, n, seed, storage, Execution(workers, client, scheduler), record)
    job.run(progress, cancel)
    return job.results[0]


def search(
    target: AnyTarget,
    *,
    objectives: Sequence[str] = ("robust", "macs"),
    constraints: Mapping[str, float] | None = None,
    evaluations: int | None = None,
    n_trials: int | None = None,
    screen: Attack | Sequence[tuple[AnyAttack, int | None]] = (),
    families: Collection[str] | None = None,
    sampler: str = "nsga2",
    sampler_seed: int = 0,
    sources: Sources = "weights",
    alpha: bool = False,
    data: Images | None = None,
    calibration: Any = None,
    attack: AnyAttack = DEFAULT_ATTACK,
    n: int | None = None,
    seed: int = 0,
    skip: Collection[str] | None = None,
    storage: Storage = None,
    workers: int | None = None,
    client: Any = None,
    scheduler: str | None = None,
    record: Callable[[Record], None] | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
    cancel: Cancel = None,
) -> SearchResult:
    """Searches for non-dominated plans, beginning with those of network-wide budgets.

    Parameters
    ----------
    target, sources, alpha, data, calibration, attack, n, seed, skip, storage, workers, client, \
scheduler, record, progress, cancel
        As in `sweep`; several sources are searched together.
    objectives : sequence of str
        Two or three of "robust", "clean", "macs", "params" and "ms" (the last for a Network with
        measured times).
    constraints : mapping, optional
        The least accuracy and the largest cost, by name, as fractions: `{"robust": 0.45}`;
        milliseconds for "ms".
    evaluations, n_trials : int, optional
        The number of different plans that are measured, 150 unless given; `n_trials` is Optuna's
        word for it.
    screen : Attack, or sequence of (attack, n), optional
        A cheaper attack for all plans, or several settings, the cheapest first. Only the front of
        each setting is measured in the next one, and at last with `attack` on n images.
    families : collection of str, optional
        The allowed families; None for all.
    sampler : "nsga2" or "tpe"
        The sampler of Optuna.
    sampler_seed : int
        Its seed. The same search with the same storage continues where it was interrupted.

    Returns
    -------
    SearchResult
        The front, and the records of every stage.

    Raises
    ------
    DataError, ModelError, BudgetError, PlanError, ExplorerError
        An argument cannot be used; the message names it.
    Cancelled
        `cancel` requested it.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> found = gx.search("digits", evaluations=4, attack=None, n=20, objectives=("clean", "macs"))
    >>> len(found.records), set(found.front) <= set(found.records)
    (4, True)
    """
    from gdws_explorer.study.executors import Execution
    from gdws_explorer.study.search import EVALUATIONS
    from gdws_explorer.study.study_spec import SearchSpec

    if None not in (evaluations, n_trials) and evaluations != n_trials:
        raise ExplorerError(
            f"evaluations is {evaluations} and n_trials is {n_trials}; they mean the same, so give "
            "one of them."
        )
    count = n_trials if evaluations is None else evaluations
    steps = [(screen, None)] if isinstance(screen, Attack) else list(screen)
    found = resolve_target(target, data=data, calibration=calibration, attack=attack, skip=skip)
    spec = SearchSpec(
        objectives=tuple(objectives),
        constraints=dict(constraints or {}),
        evaluations=EVALUATIONS if count is None else count,
        sampler=sampler,
        sampler_seed=sampler_seed,
        families=None if families is None else tuple(families),
        screen=tuple((checked_attack(cheap), many) for cheap, many in steps),
        sources=_names(sources),
        alpha=alpha,
    )
    job = _study(spec, found, n, seed, storage, Execution(workers, client, scheduler), record)
    job.run(progress, cancel)
    results = job.results
    volumes = tuple(float(volume) for volume in job.hypervolume_history)
    return SearchResult(job.front, results[-1], results, volumes)


def explore(
    target: AnyTarget | None = None,
    *,
    data: Images | None = None,
    calibration: Any = None,
    eps: float | None = None,
    attack: AnyAttack = DEFAULT_ATTACK,
    example: Tensor | None = None,
    title: str | None = None,
    skip: Collection[str] | None = None,
    storage: Storage = None,
    cache: bool | str | os.PathLike[str] = True,
    state: str | None = None,
) -> Explorer:
    """Opens the explorer in a notebook.

    Parameters
    ----------
    target : Bench, str, nn.Module or Network, optional
        A bench (`gx.load("digits")`), the name of one, any module, or a Network. None with a state
        opens the bench that the state names, else "digits".
    data : (images, labels), optional
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`; a bench brings its own.
    calibration : images, or (images, labels), optional
        Images `(N, C, H, W)` in [0, 1] for approximations made from data, other than those of
        `data`. A bench brings its training images.
    eps : float, optional
        Radius of the ℓ∞ ball for PGD-20; that of the bench, or 8/255, unless given.
    attack : Attack, sequence of Attack, None or "usual"
        Any attack of `gx.evaluate`, instead of eps; None for clean accuracy only.
    example : Tensor, optional
        One batch `(N, C, H, W)`, where there are no data.
    title : str, optional
        The headline; by default the bench's, or the model's class.
    skip : collection of str, optional
        Layers that budgets leave dense; None skips the first convolution.
    storage : Store, path, URL or True, optional
        Where the records are kept: an SQLite file, True for `gdws-explorer.db` in this folder, or
        a PostgreSQL server, `postgresql://user:password@host/name`. None keeps them in memory, so
        that a lesson leaves no file behind.
    cache : bool or path
        Where the tables of large networks are kept for the next time, as in `Network.prepare`, and
        the checkpoints of trainings; False keeps neither.
    state : str, optional
        The text that `Explorer.state` gave.

    Returns
    -------
    Explorer
        A widget. Its `session` is the state without widgets; `close()` ends its work.

    Raises
    ------
    DataError, ModelError, ExplorerError
        An argument cannot be used, or a package for notebooks is missing; the message names it.
    """
    from gdws_explorer.widgets.startup import quick_plotly

    try:
        with quick_plotly():
            from gdws_explorer.session import state_string as states
            from gdws_explorer.widgets.explorer import Explorer
            from gdws_explorer.widgets.startup import waiting
    except ModuleNotFoundError as error:
        raise ExplorerError(
            f'the explorer needs {error.name}; install it with: pip install "gdws-explorer[lab]"'
        ) from error
    from gdws_explorer.session.session import Session
    from gdws_explorer.study import prediction

    raw = None if state is None else states.decode(state)
    if target is None:
        target = (raw or {}).get("bench") or ("digits" if raw is None else None)
        if target is None:
            raise ModelError(
                "the state is of a network of your own; give the model and its data as well."
            )
    with waiting("decomposing every layer") as report:
        session = Session(
            target, data=data, calibration=calibration, eps=eps, attack=attack, example=example,
            title=title, skip=skip, storage=storage, cache=cache, progress=report,
        )  # fmt: skip

    def open_custom(custom: CustomBench, attack: AttackSpec) -> Explorer:
        own = Target(custom.network, custom.data, custom.calibration, attack, custom.title)
        return Explorer(Session(own, storage=storage, cache=cache), open_custom)

    if raw is not None:
        states.restore(session, raw)
    explorer = Explorer(session, open_custom)
    prediction.warm_up()  # last: while the explorer opens it would slow it down as much as it saves
    return explorer


# -- inside --------------------------------------------------------------------------------


def _study(
    spec: StudySpec,
    target: Target,
    n: int | None,
    seed: int,
    storage: Storage,
    execution: Execution,
    record: Callable[[Record], None] | None,
) -> StudyJob:
    """Returns the job of a study, after it has checked what can be checked at once."""
    from gdws_explorer.study.measurements import default_n
    from gdws_explorer.study.network_views import NetworkViews, check_sources
    from gdws_explorer.study.plan_evaluator import PlanEvaluator
    from gdws_explorer.study.storage.store import open_store
    from gdws_explorer.study.study_job import StudyJob

    if target.data is None:
        raise DataError("there are no images to measure on; give data=(images, labels).")
    check_sources(spec.sources)
    if target.network.label is not None and (spec.sources != ("weights",) or spec.alpha):
        raise DataError(
            "the network is calibrated or refitted already; leave sources= and alpha= out, or "
            "give the plain network."
        )
    count = default_n(len(target.data[1])) if n is None else n
    evaluator = PlanEvaluator((target.network,), target.data, target.attack, count, seed)
    return StudyJob(
        spec,
        evaluator,
        NetworkViews(target.network, target.calibration),
        open_store(storage),
        execution=execution,
        on_record=record,
    )


def _names(sources: Sources) -> tuple[str, ...]:
    return (sources,) if isinstance(sources, str) else tuple(sources)
