"""Search: a multi-objective sampler proposes plans, beginning with the analytic front.

The search space is small for every network: the budget, and the weight of each layer's error in
`Network.budget`. So every proposal is the best plan for its budget and weights, the analytic front
has the default weights, and the tables give every layer's family and ranks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from gdws_explorer.errors import BudgetError, ExplorerError
from gdws_explorer.network.calibration.data_aware import layer_weights
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.objectives import ACCURACIES, Objectives
from gdws_explorer.study.records import Record
from gdws_explorer.study.storage.store import quiet
from gdws_explorer.utils.checks import checked_whole

SAMPLERS = ("nsga2", "tpe")
EVALUATIONS = 150  # different plans that a search measures unless given
SPAN = 3.0  # octaves by which a layer's weight may be raised or lowered
BALANCE = 1.2  # largest exponent of a layer's energy: 0 squared errors, 1 relative errors
PROPOSALS = 4  # per evaluation, at most: a small network has few different plans


class Space:
    """Search space: the parameters of an Optuna trial, and the plan that they give.

    networks : views of one model. measure : the cost that is budgeted, "macs", "params" or "ms".
    most : the largest budget; None for that of the dense network.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        measure: str = "macs",
        families: Collection[str] | None = None,
        most: float | None = None,
    ) -> None:
        self._networks = networks
        self._measure = measure
        self._families = families
        self._weights = [_weights(network) for network in networks]
        first = networks[0]
        self._free = [name for name in first.names if name not in first.skip]
        least = max(network.least(measure, families=families) for network in networks)
        whole, slack = 1.0, 0.0
        if measure == "ms":
            assert first.latencies is not None
            whole, slack = first.latencies.dense, first.latencies.slack
        self._most = whole if most is None else min(whole, most)
        if self._most < least - slack:
            raise BudgetError(
                f"the constraint of {self._most:.4g} on {measure} cannot be met: with these "
                f"families the cheapest plan needs {least:.4g}."
            )
        # Slightly above the least where there is room, because the least is a rounded quotient.
        self._least = min((1 + 1e-9) * least, self._most)

    def plan(self, trial: optuna.Trial) -> Plan:
        """Returns the plan of a trial."""
        source = 0
        if len(self._networks) > 1:
            source = trial.suggest_categorical("source", list(range(len(self._networks))))
        network = self._networks[source]
        budget = trial.suggest_float("budget", self._least, self._most)
        balance = trial.suggest_float("balance", 0.0, BALANCE)
        weights = {
            name: weight * network.energy(name) ** (1 - balance) if network.energy(name) else weight
            for name, weight in self._weights[source].items()
        }
        for name in self._free:
            weights[name] *= 2 ** trial.suggest_float(f"octaves of {name}", -SPAN, SPAN)
        macs, params, ms = (budget if self._measure == name else None for name in _BUDGETS)
        return network.budget(
            macs=macs, params=params, ms=ms, families=self._families, weights=weights, exact=False
        )

    def analytic(self, count: int) -> list[dict[str, Any]]:
        """Returns parameters of the analytic front: `count` budgets, with the default weights."""
        fixed = {"balance": 1.0, **{f"octaves of {name}": 0.0 for name in self._free}}
        found = []
        for turn, budget in enumerate(np.linspace(self._least, self._most, count)):
            several = len(self._networks) > 1
            source = {"source": turn % len(self._networks)} if several else {}
            found.append({**source, "budget": min(float(budget), self._most), **fixed})
        return found


_BUDGETS = ("macs", "params", "ms")


class Search:
    """Proposals of plans by an Optuna sampler that learns from their records.

    networks : views of one model. objectives : the objectives and constraints. evaluations : the
    number of different plans. warm : how many of them lie on the analytic front. sampler : "nsga2"
    (Deb et al., 2002) or "tpe" (Ozaki et al., 2020). seed : of the sampler; the same records lead
    to the same proposals, so an interrupted search finds its records and continues.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        objectives: Objectives,
        *,
        evaluations: int = EVALUATIONS,
        families: Collection[str] | None = None,
        sampler: str = "nsga2",
        seed: int = 0,
        warm: int = 30,
    ) -> None:
        checked_whole("evaluations", evaluations, error=ExplorerError)
        self.objectives = objectives
        self.evaluations = evaluations
        cost = next((name for name in objectives.objectives if name not in ACCURACIES), "macs")
        self._space = Space(networks, cost, families, objectives.constraints.get(cost))
        self._records: dict[str, Record] = {}
        self._waiting: dict[str, list[optuna.Trial]] = {}
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        directions = [up if more else down for more in objectives.maximize]
        with quiet():
            self.study = optuna.create_study(
                directions=directions, sampler=_sampler(sampler, seed, min(warm, evaluations))
            )
            self.study.set_metric_names(list(objectives.objectives))
            for parameters in self._space.analytic(min(warm, evaluations)):
                self.study.enqueue_trial(parameters)

    def plans(self) -> Iterator[Plan]:
        """Yields different plans, one proposal at a time; ends early without new ones."""
        for _ in range(PROPOSALS * self.evaluations):
            if len(self._waiting) + len(self._records) >= self.evaluations:
                return
            trial = self.study.ask()
            plan = self._space.plan(trial)
            if plan.hash in self._records:
                self._tell(trial, self._records[plan.hash])
                continue
            new = plan.hash not in self._waiting
            self._waiting.setdefault(plan.hash, []).append(trial)
            if new:
                yield plan

    def tell(self, record: Record) -> None:
        """Gives the record of a proposed plan to the sampler."""
        self._records[record.plan.hash] = record
        for trial in self._waiting.pop(record.plan.hash, ()):
            self._tell(trial, record)

    def _tell(self, trial: optuna.Trial, record: Record) -> None:
        trial.set_user_attr("plan", record.plan.hash)
        for name, excess in self.objectives.excess(record).items():
            trial.set_constraint(name, excess)
        self.study.tell(
            trial, [self.objectives.value(record, name) for name in self.objectives.objectives]
        )


def _weights(network: Network) -> Mapping[str, float]:
    """Returns the default weights of the layers' errors, the best ones for `Network.budget`."""
    energies = {name: network.energy(name) for name in network.names}
    if network.calibration is not None:
        known = layer_weights(network.calibration, energies)
        return {name: known.get(name, 1.0) for name in energies}
    return {name: 1 / (energy or 1.0) for name, energy in energies.items()}


def _sampler(name: str, seed: int, population: int) -> optuna.samplers.BaseSampler:
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(2, population))
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True)
    raise ExplorerError(f"sampler is {name!r}; expected one of {', '.join(SAMPLERS)}.")
