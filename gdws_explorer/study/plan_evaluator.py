"""Evaluation of plans: all that it needs except the plan, in a form that can be pickled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from gdws_explorer.errors import DataError, PlanError
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.study.records import EvaluationSetting, Record, record_of

if TYPE_CHECKING:
    from gdws_explorer.network.plans.cost import Summary

REFIT = 0.3  # fraction of a measurement's progress that a refit of layers takes


@dataclass(frozen=True, eq=False)
class PlanEvaluator:
    """Evaluator of plans in one setting.

    networks : views of one model (plain, calibrated, refitted), one for every source of plans; at
        least one. data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`. attack : None for
        clean accuracy only. n, seed : number of images, which images, and the noise, as in
        `evaluate`. images : `data_fingerprint` of the data, computed unless given.

    It is pickled without the networks' tables: another process computes those that a plan needs.
    Raises DataError where n is not in 1..N.
    """

    networks: tuple[Network, ...]
    data: tuple[Tensor, Tensor]
    attack: Attack | AttackSequence | None
    n: int
    seed: int = 0
    images: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= len(self.data[1]):
            raise DataError(
                f"n is {self.n}; expected 1 to {len(self.data[1])}, the images there are."
            )
        if not self.images:
            object.__setattr__(self, "images", data_fingerprint(*self.data))

    @property
    def setting(self) -> EvaluationSetting:
        """The setting that all its records share."""
        attack = None if self.attack is None else self.attack.to_dict()
        fingerprint = self.networks[0].fingerprint
        return EvaluationSetting(fingerprint, self.images, attack, self.n, self.seed)

    def network(self, plan: Plan) -> Network:
        """Returns the network that a plan belongs to; PlanError where none does."""
        for network in self.networks:
            if network.label == plan.calibration:
                network.check(plan)
                return network
        raise PlanError(
            f"the plan is made from data (calibration {str(plan.calibration)[:12]}…) that is not "
            "available here; give the network that it was made with."
        )

    def measure(
        self,
        plan: Plan,
        summary: Summary | None = None,
        *,
        parent: str | None = None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Record:
        """Builds a plan, measures it, and returns its record.

        summary : its costs, computed unless given. parent : hash of the plan that this one was
        made from. progress : from 0 to 1. Errors: those of `Network.build` and `evaluate`.
        """
        network = self.network(plan)
        making = 0.0 if plan.calibration is None else REFIT

        def say(fraction: float) -> None:
            if progress is not None:
                progress(fraction)

        began = time.perf_counter()
        built = network.build(plan, progress=lambda part: say(making * part), cancel=cancel)
        timings = {"build s": time.perf_counter() - began}
        report = evaluate(
            built,
            self.data,
            self.attack,
            n=self.n,
            seed=self.seed,
            progress=lambda part, _partial: say(making + (1 - making) * part),
            cancel=cancel,
        )
        costs = network.summary(plan) if summary is None else summary
        return record_of(plan, costs, report, data=self.images, parent=parent, timings=timings)

    def __reduce__(self) -> tuple[Any, ...]:
        if any(network.plan().trained for network in self.networks):
            raise PlanError(
                "a network whose weights were trained is measured in this process only; leave "
                "workers= and the like out."
            )
        views = tuple(_View(net.calibration, net.refits_on) for net in self.networks)
        first = self.networks[0]
        settings = (self.data, self.attack, self.n, self.seed, self.images)
        return _unpacked, (first.model, first.example, views, *settings)


class _View(NamedTuple):
    """A network without its tables: what makes a calibrated or refitted view of a plain one."""

    calibration: Calibration | None
    refit: Tensor | None

    def of(self, plain: Network) -> Network:
        if self.calibration is not None:
            return plain.calibrated(self.calibration, refit=self.refit)
        return plain if self.refit is None else plain.refitted(self.refit)


def _unpacked(
    model: nn.Module, example: Tensor, views: tuple[_View, ...], *settings: Any
) -> PlanEvaluator:
    plain = Network(model, example)
    return PlanEvaluator(tuple(view.of(plain) for view in views), *settings)
