"""Sweeps and searches on a bundled bench, on anybody's network, or on views of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

import torch
from torch import Tensor, nn

from gdws_explorer.bench import Bench, load
from gdws_explorer.errors import DataError, ExplorerError, ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.robust.sequence import AttackSequence, checked_attack, stages_of
from gdws_explorer.study.records import Record
from gdws_explorer.typing import Cancel

if TYPE_CHECKING:
    from gdws_explorer.bench.custom import CustomBench
    from gdws_explorer.study.attack_settings import AttackSpec
    from gdws_explorer.study.plan_evaluator import PlanEvaluator
    from gdws_explorer.study.runner import StudyProgress
    from gdws_explorer.study.storage.store import Store
    from gdws_explorer.widgets.explorer import Explorer


Target = Bench | str | nn.Module | Network
Images = tuple[Any, Any]
AnyAttack = Attack | AttackSequence | Sequence[Attack] | None
Usual = Literal["usual"]
Sources = str | Sequence[str]
Storage = Union["Store", str, os.PathLike[str], bool, None]


class SearchResult(NamedTuple):
    """What a search measured.

    front : the records that no other beats, of those that hold to the constraints. records :
    everything in the last setting. stages : everything, setting by setting, in the order in which
    it was measured. hypervolume : after each of the first stage's records.
    """

    front: tuple[Record, ...]
    records: tuple[Record, ...]
    stages: tuple[tuple[Record, ...], ...]
    hypervolume: tuple[float, ...]


def sweep(
    target: Target,
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
    attack: AnyAttack | Usual = "usual",
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
    """Measure plans along a line, each once; what the storage knows is not measured again.

    Parameters
    ----------
    target : a bench, its name, any nn.Module, or a Network (calibrated or refitted, its plans are).
    beta : bounds on each layer's squared error, the paper's experiment; a whole number means so
        many over the range that matters, evenly by their logarithm.
    macs, params : budgets as fractions of the dense network; a whole number means so many, from
        the least there is to 1.
    families : budgets are met with each of these alone: "gdws", "tucker2", "svd", "spatial", or
        "any" for all together.
    layers : one layer at a time is approximated, budgets being fractions of that layer.
    sources : what plans are made from, one or several: "weights"; "refit", these refitted on
        images; "data", the images' view of the layers, refitted. The last two, and alpha, take
        `calibration`; a bench brings its training images.
    alpha : weigh β by eq. 8 of Dbouk & Shanbhag.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`; a bench brings its own.
    attack : as `gx.evaluate` takes it, None for clean accuracy only; "usual" is the bench's, and
        PGD-20 with 8/255 for others.
    n, seed : how many images (at most 360 unless given), which, and the noise.
    skip : layers that budgets leave dense, as in `Network`.
    storage : what keeps the records, as in `gx.explore`, or a `Store`; None keeps them in memory.
    workers, client, scheduler : measure in so many processes of this machine, on the cluster of a
        `distributed.Client`, or of the scheduler at "tcp://…"; in this process unless one is given.
    record : called with every record as it comes, known ones included.
    progress : called with counts and the time left whenever they change.
    cancel : an Event or a function; ends the sweep with Cancelled.

    Returns
    -------
    tuple of Record
        In the order of the plans. Whatever ends the sweep early, the storage has what was measured,
        and the same call goes on from there.
    """
    from gdws_explorer.study.sweep import Grid, distinct

    beta, macs, params = (
        given if isinstance(given, int) else tuple(given) for given in (beta, macs, params)
    )
    grid = Grid(beta, macs, params, families, layers)
    meter = _meter(target, data, attack, n, seed, skip, sources, calibration, alpha)
    plans = distinct(plan for network in meter.networks for plan in grid.plans(network))
    return _run(meter, plans, storage, (workers, client, scheduler), record, progress, cancel)


def search(
    target: Target,
    *,
    objectives: Sequence[str] = ("robust", "macs"),
    constraints: Mapping[str, float] | None = None,
    evaluations: int = 150,
    screen: Attack | Sequence[tuple[AnyAttack, int]] = (),
    families: Collection[str] | None = None,
    sampler: str = "nsga2",
    sampler_seed: int = 0,
    sources: Sources = "weights",
    data: Images | None = None,
    calibration: Any = None,
    attack: AnyAttack | Usual = "usual",
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
    """Look for plans that nothing beats, beginning from those that budgets give.

    Parameters
    ----------
    target, sources, data, calibration, attack, n, seed, skip, storage, workers, client,
    scheduler, record, progress, cancel : as in `sweep`; several sources are searched together.
    objectives : two or three of "robust", "clean", "macs", "params" and "ms" (of a Network with
        measured times).
    constraints : the least accuracy and the most cost, as fractions: `{"robust": 0.45}`.
    evaluations : different plans that are measured.
    screen : a cheaper attack that all of them meet instead, or several (attack, n), the cheapest
        first: only what is on the front after one is measured in the next, and at last with
        `attack` on n images.
    families : those allowed; None for all.
    sampler, sampler_seed : "nsga2" or "tpe", of Optuna. Interrupted, the same search finds in the
        storage what it measured and goes on.
    """
    from gdws_explorer.study.objectives import Objectives
    from gdws_explorer.study.search import Search
    from gdws_explorer.study.storage.store import open_store

    last = _meter(target, data, attack, n, seed, skip, sources, calibration, False)
    steps = [(screen, last.n)] if isinstance(screen, Attack) else list(screen)
    first, *later = [*(_other(last, *step) for step in steps), last]
    aim = Objectives(last.networks[0], tuple(objectives), dict(constraints or {}))
    finder = Search(
        last.networks,
        aim,
        evaluations=evaluations,
        families=families,
        sampler=sampler,
        seed=sampler_seed,
    )
    order: list[Record] = []

    def learn(one: Record) -> None:
        finder.tell(one)
        order.append(one)
        if record is not None:
            record(one)

    where = (workers, client, scheduler)
    store = open_store(storage)
    _run(first, finder, store, where, learn, progress, cancel)
    stages = [tuple(order)]
    for meter in later:
        plans = tuple(one.plan for one in aim.front(stages[-1]))
        stages.append(_run(meter, plans, store, where, record, progress, cancel))
    grown = tuple(float(volume) for volume in aim.growth(stages[0]))
    return SearchResult(aim.front(stages[-1]), stages[-1], tuple(stages), grown)


# -- inside --------------------------------------------------------------------------------


def _run(
    meter: PlanEvaluator,
    plans: Any,
    storage: Storage,
    where: tuple[int | None, Any, str | None],
    record: Callable[[Record], None] | None,
    progress: Callable[[StudyProgress], None] | None,
    cancel: Cancel,
) -> tuple[Record, ...]:
    """Measure plans, or what a search proposes, where somebody wants them measured."""
    from gdws_explorer.study.executors import executor_for
    from gdws_explorer.study.runner import StudyRun
    from gdws_explorer.study.search import Search
    from gdws_explorer.study.storage.store import open_store

    searching = isinstance(plans, Search)
    batch = StudyRun(
        meter,
        plans.plans() if searching else plans,
        open_store(storage),
        total=plans.evaluations if searching else None,
        record=record,
        progress=progress,
        cancel=cancel,
    )
    workers, client, scheduler = where
    # A search learns from every record: nothing is proposed before somebody can measure it.
    ahead = 1 if searching else 2
    with executor_for(
        meter, workers=workers, client=client, scheduler=scheduler, ahead=ahead
    ) as those:
        return batch.run(those)


def _other(meter: PlanEvaluator, attack: AnyAttack, n: int) -> PlanEvaluator:
    from gdws_explorer.study.plan_evaluator import PlanEvaluator

    cheap = checked_attack(attack)
    return PlanEvaluator(meter.networks, meter.data, cheap, n, meter.seed, meter.images)


def _meter(
    target: Target,
    data: Images | None,
    attack: AnyAttack | Usual,
    n: int | None,
    seed: int,
    skip: Collection[str] | None,
    sources: Sources,
    calibration: Any,
    alpha: bool,
) -> PlanEvaluator:
    """Everything that measuring takes, from what the caller gave and the bench has."""
    from gdws_explorer.study.measurements import SAMPLE
    from gdws_explorer.study.plan_evaluator import PlanEvaluator

    bench = load(target) if isinstance(target, str) else target
    usual: Attack = PGD(8 / 255)
    if isinstance(bench, Bench):
        data = bench.data if data is None else data
        calibration = bench.train_data if calibration is None else calibration
        usual = bench.attack
    if data is None:
        raise DataError("there are no images to measure on; give data=(images, labels).")
    images = check_data(data)
    chosen = usual if isinstance(attack, str) else checked_attack(attack)
    if isinstance(attack, str) and attack != "usual":
        raise DataError(f"attack is {attack!r}; expected an attack, None, or 'usual'.")
    if isinstance(bench, Network):
        network = bench
    elif isinstance(bench, Bench | nn.Module):
        model = bench.model if isinstance(bench, Bench) else bench
        network = Network(model, images[0][:1], skip=skip)
    else:
        raise ModelError(
            f"cannot measure a {type(bench).__name__}; expected a bench, its name, an nn.Module "
            "or a Network."
        )
    kinds = (sources,) if isinstance(sources, str) else tuple(sources)
    views = _views(network, kinds, calibration, chosen, alpha)
    return PlanEvaluator(
        views, images, chosen, min(len(images[1]), SAMPLE) if n is None else n, seed
    )


def _views(
    network: Network,
    kinds: tuple[str, ...],
    calibration: Any,
    attack: Attack | AttackSequence | None,
    alpha: bool,
) -> tuple[Network, ...]:
    """The network by what its plans are to be made from."""
    from gdws_explorer.study.network_views import KINDS, NetworkViews

    odd = [kind for kind in kinds if kind not in KINDS]
    if odd or not kinds:
        raise DataError(f"sources is {list(kinds)}; expected some of {', '.join(KINDS)}.")
    if network.label is not None and (kinds != ("weights",) or alpha):
        raise DataError(
            "the network is calibrated or refitted already; leave sources= and alpha= out, or "
            "give the plain network."
        )
    made = NetworkViews(network, None if calibration is None else to_learn_from(calibration))
    under = next(iter(stages_of(attack)), None)  # of several attacks the first, and cheapest
    return made.views(kinds, under, alpha=alpha)


Pair = tuple[Tensor, Tensor]


def explore(
    target: Bench | str | nn.Module | None = None,
    *,
    data: tuple[Any, Any] | None = None,
    calibration: Any = None,
    eps: float | None = None,
    attack: Attack | AttackSequence | Sequence[Attack] | None = None,
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
    from gdws_explorer.study.measurements import Measurements
    from gdws_explorer.study.storage.store import Store, open_store

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
    attack = checked_attack(attack)
    network = Network(model, example, skip=skip)
    with waiting("decomposing every layer") as progress:
        network.prepare(progress, cache=cache)

    def opened(
        network: Network, data: Pair | None, calibration: Any, attack: AttackSpec, title: str,
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

    def open_own(own: CustomBench, attack: AttackSpec) -> Explorer:
        return Explorer(
            opened(own.network, own.data, own.calibration, attack, own.title, None), open_own
        )

    calibration = None if calibration is None else to_learn_from(calibration)
    bench = bench if isinstance(bench, Bench) else None
    session = opened(network, checked, calibration, attack, title, bench)
    if raw is not None:
        states.restore(session, raw)
    explorer = Explorer(session, open_own)
    prediction.warm_up()  # last: beside the opening it would take as long as it saves
    return explorer


def to_learn_from(given: Any) -> tuple[Tensor, Tensor | None]:
    """Images to calibrate on, with labels or without."""
    if isinstance(given, tuple | list):
        return check_data((given[0], given[1]))
    images = torch.as_tensor(given)
    return check_data((images, torch.zeros(len(images), dtype=torch.int64)))[0], None
