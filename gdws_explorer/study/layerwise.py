"""Layer-wise sensitivity: the accuracy lost by compressing one layer alone.

One layer at a time takes a few budgets while all others stay dense, and every such plan is
measured like any other: it gives an ordinary record. So no plan is measured twice, and a job that
was killed continues where the records end. Li et al., "Pruning filters for efficient ConvNets",
ICLR 2017, section 3.2, do this for pruning; here it is done under attack, in pairs of records, and
compared with the analytic error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.paired_difference import PairedDifference
from gdws_explorer.study.executors import executor_for
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray

SHARES = (0.75, 0.5, 0.35, 0.25, 0.15)
DENSE = "the dense network"
NOTHING = (np.nan, np.nan)
ERRORS = {"relative": "relative to the kernel", "squared": "squared, as it is"}


class LayerStep(NamedTuple):
    """One layer at one budget, all others dense.

    share : remaining MACs, as a fraction of this layer's own. squared : the analytic error;
    relative : the same as a fraction of the kernel's squared norm. In a calibrated network both
    are errors of the outputs.
    """

    layer: str
    choice: Choice
    share: float
    squared: float
    relative: float
    plan: Plan


def steps(
    network: Network,
    names: Collection[str] | None = None,
    families: Collection[str] | None = None,
    shares: Sequence[float] = SHARES,
) -> tuple[LayerStep, ...]:
    """Returns the plans to measure, by layer in call order, each from its largest budget down.

    names : the layers; None for all that can be approximated, also those that budgets skip.
    families : the choice has the least error among these; None for all. shares : budgets, as
    fractions of the layer's own MACs, in (0, 1). A budget that a layer cannot meet becomes its
    cheapest choice, and equal choices are one step. Errors: PlanError for an unknown layer,
    ExplorerError.
    """
    if not shares or not all(0 < share < 1 for share in shares):
        raise ExplorerError(f"shares is {shares!r}; expected fractions between 0 and 1.")
    allowed = tuple(FAMILIES) if families is None else tuple(families)
    chosen = {network.layer(name).name for name in (network.names if names is None else names)}
    found = []
    for name in (name for name in network.names if name in chosen):
        layer = network.layer(name)
        if not set(allowed) & set(layer.families):
            continue
        table = network.table(name, allowed)
        places = [table.best(share * layer.macs) for share in sorted(shares, reverse=True)]
        for place in dict.fromkeys(places):
            if table.cost[place] < layer.macs:
                choice = table.choice(place)
                kept = float(table.cost[place] / layer.macs)
                squared = network.error(name, choice)
                relative = squared / (network.energy(name) or 1.0)
                plan = network.plan({name: choice})
                found.append(LayerStep(name, choice, kept, squared, relative, plan))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class LayerCurve:
    """One layer's steps, from the largest budget down, and their records, `(k,)` each.

    records : None for a step that is not measured yet; its accuracies and losses are NaN.
    dense : the dense network's record on the same images; None before it is measured.
    """

    name: str
    steps: tuple[LayerStep, ...]
    records: tuple[Record | None, ...]
    dense: Record | None

    @property
    def share(self) -> FloatArray:
        """Remaining MACs, as fractions of this layer's own, `(k,)`."""
        return np.array([step.share for step in self.steps])

    def analytic(self, kind: str) -> FloatArray:
        """The analytic error, one of ERRORS, `(k,)`."""
        if kind not in ERRORS:
            raise ExplorerError(
                f"unknown analytic error {kind!r}; expected one of {tuple(ERRORS)}."
            )
        return np.array([getattr(step, kind) for step in self.steps])

    def accuracy(self, metric: str) -> FloatArray:
        """The accuracy "clean" or "robust", `(k,)`; NaN also where there was no attack."""
        return np.array([_accuracy(record, metric) for record in self.records])

    def interval(self, metric: str) -> FloatArray:
        """Its 95 % Wilson interval, `(k, 2)`."""
        known = [getattr(record, f"{metric}_interval", None) for record in self.records]
        return np.array([each or NOTHING for each in known]).reshape(-1, 2)

    def loss(self, metric: str) -> FloatArray:
        """Accuracy lost against the dense network on the same images, `(k,)`, a fraction."""
        return _accuracy(self.dense, metric) - self.accuracy(metric)

    def loss_interval(self, metric: str) -> FloatArray:
        """Its 95 % interval in pairs, `(k, 2)`; NaN also where a record has no verdicts."""
        pairs = [pair and (-pair.interval[1], -pair.interval[0]) for pair in self.paired[metric]]
        return np.array([each or NOTHING for each in pairs]).reshape(-1, 2)

    @cached_property
    def paired(self) -> Mapping[str, tuple[PairedDifference | None, ...]]:
        """The paired differences of every step from the dense network, by metric."""
        return {
            metric: tuple(_pair(self.dense, record, metric) for record in self.records)
            for metric in ("clean", "robust")
        }


def curves(measurements: Measurements, planned: Sequence[LayerStep]) -> tuple[LayerCurve, ...]:
    """Returns the steps with their records of the present setting, one curve per layer."""
    known = {record.plan: record for record in measurements.records()}
    dense = _dense(known.values(), [step.plan for step in planned])
    by_layer: dict[str, list[LayerStep]] = {}
    for step in planned:
        by_layer.setdefault(step.layer, []).append(step)
    return tuple(
        LayerCurve(name, tuple(own), tuple(known.get(step.plan) for step in own), dense)
        for name, own in by_layer.items()
    )


class LayerwiseProgress(NamedTuple):
    """Progress of a layer-wise measurement. about : the layer that is measured now, or DENSE."""

    done: int
    total: int
    about: str


def missing(
    measurements: Measurements, network: Network, planned: Sequence[LayerStep]
) -> tuple[tuple[str, Plan], ...]:
    """Returns the plans without a record in the present setting, as (layer or DENSE, plan).

    The dense network comes first, because every loss is a difference from its verdicts.
    """
    if not planned:
        return ()
    known = {record.plan for record in measurements.records()}
    dense = _dense(measurements.records(), [step.plan for step in planned])
    first = () if dense is not None and dense.clean_mask else ((DENSE, network.plan()),)
    return (*first, *((step.layer, step.plan) for step in planned if step.plan not in known))


def task(
    measurements: Measurements,
    network: Network,
    planned: Sequence[LayerStep],
    report: Callable[[LayerwiseProgress], None] | None = None,
) -> Callable[[Callable[[float], None], Callable[[], bool]], None]:
    """Returns a job that measures the missing steps, in the setting of this moment.

    report : called before the first step, and after every step when its record is stored. A job
    that is cancelled keeps the records so far; a new one continues from there.
    """
    todo = missing(measurements, network, planned)
    abouts = [about for about, _ in todo]
    again = [measurements.task(plan, network) for about, plan in todo if about == DENSE]
    rest = [plan for about, plan in todo if about != DENSE]

    def announce(done: int) -> None:
        if report is not None:
            report(LayerwiseProgress(done, len(todo), abouts[done] if done < len(todo) else ""))

    def measure(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        announce(0)
        for dense in again:  # again where its record has no verdicts
            dense(lambda fraction: progress(fraction / len(todo)), cancelled)
            announce(1)

        def move(fraction: float) -> None:
            progress((len(again) + fraction * len(rest)) / len(todo))

        def kept(_record: Record) -> None:
            announce(len(again) + len(run.records))

        if rest:
            run = measurements.study_run(
                rest, network, record=kept, progress=move, cancel=cancelled
            )
            with executor_for(run.evaluator) as executor:
                run.run(executor)

    return measure


def measure(
    measurements: Measurements,
    network: Network,
    planned: Sequence[LayerStep] | None = None,
    *,
    report: Callable[[LayerwiseProgress], None] | None = None,
    progress: Callable[[float], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> tuple[LayerCurve, ...]:
    """Measures the missing steps, and returns all curves. Raises Cancelled.

    planned : `steps(network)` unless given. report : as in `task`. progress : from 0 to 1.
    """
    chosen = steps(network) if planned is None else planned
    work = task(measurements, network, chosen, report)
    work(progress or (lambda _: None), cancel or (lambda: False))
    return curves(measurements, chosen)


def _accuracy(record: Record | None, metric: str) -> float:
    known = None if record is None else record.accuracy(metric)
    return np.nan if known is None else known


def _pair(dense: Record | None, record: Record | None, metric: str) -> PairedDifference | None:
    return None if dense is None or record is None else record.paired(dense, metric)


def _dense(records: Collection[Record], plans: Collection[Plan]) -> Record | None:
    """Returns the record of the dense network with these plans' weights; one with verdicts first.

    The source of approximations makes no difference to the dense network, but training does.
    """
    weights = {plan.weights for plan in plans}
    found = [
        r
        for r in records
        if all(choice == Dense() for _, choice in r.plan) and r.plan.weights in weights
    ]
    return max(found, key=lambda record: record.clean_mask is not None, default=None)
