"""Objectives and constraints of a search."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.network import Network
from gdws_explorer.study.pareto import front, hypervolume, hypervolume_history
from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray

ACCURACIES = ("robust", "clean")  # to be maximised; costs are minimised
COSTS = ("macs", "params", "ms")


@dataclass(frozen=True)
class Objectives:
    """Objectives and constraints; accuracies and costs are fractions, of images and of dense.

    network : its dense MACs and parameters are 1; for "ms" it needs measured times
        (`Network.measure_latency`), and the values are milliseconds.
    objectives : two or three of "robust", "clean", "macs", "params" and "ms".
    constraints : the least accuracy and the largest cost, by name.

    Raises ExplorerError.
    """

    network: Network
    objectives: tuple[str, ...] = ("robust", "macs")
    constraints: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        known = (*ACCURACIES, *COSTS)
        odd = [name for name in (*self.objectives, *self.constraints) if name not in known]
        if odd:
            raise ExplorerError(
                f"unknown objective {odd[0]!r}; expected some of {', '.join(known)}."
            )
        if not 2 <= len(set(self.objectives)) == len(self.objectives) <= 3:
            raise ExplorerError(
                f"the objectives are {list(self.objectives)}; expected two or three different ones."
            )
        for name, bound in self.constraints.items():
            most = math.inf if name == "ms" else 1
            if not 0 < bound <= most:
                raise ExplorerError(
                    f"the constraint on {name} is {bound}; expected a fraction in (0, 1], or "
                    "milliseconds for ms."
                )
        if "ms" in (*self.objectives, *self.constraints) and self.network.latencies is None:
            raise ExplorerError(
                "ms needs measured times; call net.measure_latency() first and give the network."
            )

    @property
    def maximize(self) -> list[bool]:
        """Whether each objective is maximised."""
        return [name in ACCURACIES for name in self.objectives]

    @property
    def reference(self) -> list[float]:
        """The reference point of the hypervolume: accuracy 0 at the dense network's cost."""
        return [0.0 if name in ACCURACIES else self._dense(name) for name in self.objectives]

    def value(self, record: Record, name: str) -> float:
        """Returns an accuracy or a cost of a record; NaN for an accuracy that was not measured."""
        if name in ACCURACIES:
            accuracy = record.accuracy(name)
            return math.nan if accuracy is None else accuracy
        if name == "ms":
            assert self.network.latencies is not None
            return self.network.latencies.total(record.plan)
        return float(getattr(record, name)) / float(getattr(self.network, name))

    def values(self, records: Sequence[Record]) -> FloatArray:
        """Returns the objectives of every record: `(n, objectives)`."""
        rows = [[self.value(record, name) for name in self.objectives] for record in records]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.objectives))

    def excess(self, record: Record) -> dict[str, float]:
        """Returns the violation of each constraint; 0 or less where it is satisfied."""
        found = {}
        for name, bound in self.constraints.items():
            value = self.value(record, name)
            found[name] = bound - value if name in ACCURACIES else value - bound
            if name == "ms" and self.network.latencies is not None:
                found[name] -= self.network.latencies.slack
        return found

    def holds(self, record: Record) -> bool:
        """Whether a record satisfies every constraint."""
        return all(excess <= 0 for excess in self.excess(record).values())

    def front(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Returns the non-dominated records among those that satisfy the constraints."""
        able = [record for record in records if self.holds(record)]
        return tuple(able[i] for i in front(self.values(able), self.maximize)) if able else ()

    def hypervolume(self, records: Sequence[Record]) -> float:
        """Returns the hypervolume of the records that satisfy the constraints."""
        able = [record for record in records if self.holds(record)]
        return hypervolume(self.values(able), self.maximize, self.reference)

    def hypervolume_history(self, records: Sequence[Record]) -> FloatArray:
        """Returns the hypervolume after every record: `(n,)`."""
        table = self.values(records)
        table[[not self.holds(record) for record in records]] = math.nan
        return hypervolume_history(table, self.maximize, self.reference)

    def _dense(self, name: str) -> float:
        if name != "ms":
            return 1.0
        assert self.network.latencies is not None
        return self.network.latencies.dense


def parse_constraint(text: str) -> tuple[str, float]:
    """Reads a constraint: "robust >= 0.45", "robust ≥ 45 %", "macs <= 40%" or "ms<=3"."""
    found = re.fullmatch(r"\s*(\w+)\s*(>=|≥|<=|≤)\s*([0-9.]+)\s*(%?)\s*", text)
    if found is not None:
        name, sign, number, per_cent = found.groups()
        if (name in ACCURACIES) == (sign in (">=", "≥")) and name in (*ACCURACIES, *COSTS):
            try:
                return name, float(number) / (100 if per_cent else 1)
            except ValueError:
                pass
    raise ExplorerError(
        f"cannot read the constraint {text!r}; expected something like 'robust >= 0.45' or "
        "'macs <= 40%': at least an accuracy (robust, clean), at most a cost (macs, params, ms)."
    )
