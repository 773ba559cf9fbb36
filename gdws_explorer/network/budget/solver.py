"""Solves budgets of a network: fractions of its totals, weights of the layers' errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.allocation import Allocation, Allocator
from gdws_explorer.network.budget.request import WORDS as WORDS
from gdws_explorer.network.budget.request import BudgetRequest, Weights
from gdws_explorer.network.budget.request import check_fraction as check_fraction
from gdws_explorer.network.budget.tables import NANO, LayerTables, Spectra
from gdws_explorer.network.plans.layer import LayerSet
from gdws_explorer.network.plans.plan import Plan


class BudgetSolution(NamedTuple):
    """A plan under a budget, with found ≥ the best value ≥ bound.

    plan : the plan of `Network.budget`. found : its total error, weighted, or its MACs under an
    error budget. bound : no plan of these families has a value below it.
    """

    plan: Plan
    found: float
    bound: float

    @property
    def gap(self) -> float:
        """Largest possible distance from the best value, as a fraction of found; 0 if proven."""
        return 0.0 if self.found <= self.bound else (self.found - self.bound) / self.found


@dataclass(frozen=True, eq=False)
class BudgetSolver:
    """Budgets of one network, answered from its tables.

    totals : MACs and parameters of the whole dense network, by measure.
    weights : default factor of every layer's squared error, by name.
    """

    spectra: Spectra
    tables: LayerTables
    layers: LayerSet
    totals: Mapping[str, int]
    weights: Mapping[str, float]

    def solve(self, request: BudgetRequest) -> Allocation:
        """Returns the best allocation under a budget. Raises BudgetError, PlanError."""
        weights = self._weights(request.weights)
        if request.measure == "error":
            return self._within_error(request, weights)
        measure, amount = request.measure, request.amount
        allocator = self._allocator(measure, request, weights)
        unchanged = self._unchanged_cost(measure)
        least = unchanged + allocator.least_cost
        if measure == "ms":
            limit, given = int(NANO * amount), f"{amount:.4g} ms"
            # Layers are rounded to nanoseconds: a budget of a plan's own milliseconds allows it.
            limit = least if least - self.slack <= limit < least else limit
            needed = f"{least / NANO:.4g} ms"
        else:
            total = self.totals[measure]
            limit, given = at_most(amount, total), f"{amount:.2%} of the {WORDS[measure]}"
            needed = f"{least / total:.2%}"
        if limit < least:
            choice = any(len(table.cost) > 1 for table in allocator.tables)
            why = "" if choice else self.layers.obstacle
            raise BudgetError(
                f"a budget of {given} cannot be met: with these families, skipped and fixed layers "
                f"the cheapest plan needs {needed}{why}."
            )
        return allocator.under_cost(limit - unchanged, exact=request.exact)

    def least(self, request: BudgetRequest) -> float:
        """Returns the smallest amount that `solve` can reach; the request's own is not used."""
        weights, measure = self._weights(request.weights), request.measure
        if measure == "error":
            allocator = self._allocator("macs", request, weights)
            return allocator.least_error / self._total_energy(weights)
        allocator = self._allocator(measure, request, weights)
        total = NANO if measure == "ms" else self.totals[measure]
        return (self._unchanged_cost(measure) + allocator.least_cost) / total

    @property
    def slack(self) -> int:
        """The nanoseconds by which a plan's milliseconds may differ from its layers' sum."""
        return len(self.layers.names) + 2

    @cached_property
    def energy(self) -> float:
        """Total error of dropping every layer, by the default weights."""
        return self._total_energy(self.weights)

    @cached_property
    def _relative(self) -> dict[str, float]:
        return {name: 1 / (self.spectra.energy(name) or 1.0) for name in self.layers.names}

    def _within_error(self, request: BudgetRequest, weights: Mapping[str, float]) -> Allocation:
        """Returns the allocation of fewest MACs under an error budget."""
        allocator, energy = self._allocator("macs", request, weights), self._total_energy(weights)
        if allocator.least_error / energy > request.amount:
            raise BudgetError(
                f"an error of {request.amount:.3g} cannot be met: the fixed layers alone have "
                f"{allocator.least_error / energy:.3g}."
            )
        found = allocator.under_error(_most(request.amount, energy), exact=request.exact)
        unchanged = self._unchanged_cost("macs")
        return Allocation(found.choices, found.found + unchanged, found.bound + unchanged)

    def _allocator(
        self, measure: str, request: BudgetRequest, weights: Mapping[str, float]
    ) -> Allocator:
        fixed = self.layers.fixed_choices(request.skip, request.fixed)
        tables = self.tables[measure] if request.slower else self.tables.faster(measure)
        return tables.allocator(request.families, fixed, weights)

    def _weights(self, weights: Weights) -> Mapping[str, float]:
        """Returns the factor of every layer's squared error."""
        if weights == "relative":
            return self._relative
        if weights is None:
            return self.weights
        if isinstance(weights, str):
            raise BudgetError(f'weights is {weights!r}; expected "relative" or a mapping.')
        for name, weight in weights.items():
            if name not in self.layers.names:
                raise PlanError(
                    f"weights name {name!r}, which cannot be approximated; expected some of "
                    f"{', '.join(self.layers.names)}."
                )
            if not 0 < weight < math.inf:
                raise BudgetError(f"the weight of {name} is {weight}; expected a number > 0.")
        return {name: float(weights.get(name, 1.0)) for name in self.layers.names}

    def _total_energy(self, weights: Mapping[str, float]) -> float:
        """Returns the weighted squared norms of all layers: the error of dropping everything."""
        energy = sum(self.spectra.energy(name) * weight for name, weight in weights.items())
        return energy or 1.0  # all layers may be zero

    def _unchanged_cost(self, measure: str) -> int:
        """Returns the part of the dense network's cost that no plan can change."""
        if measure == "ms":
            return self.tables["ms"].unexplained
        approximable = sum(int(getattr(layer, measure)) for layer in self.layers.approximable)
        return self.totals[measure] - approximable


def at_most(fraction: float, total: int) -> int:
    """Returns the largest whole n with `n / total ≤ fraction`.

    A budget of exactly a plan's own fraction then allows the plan.
    """
    near = round(fraction * total)
    return near if near / total <= fraction else near - 1


def _most(fraction: float, total: float) -> float:
    """Returns the largest x with `x / total ≤ fraction` in floating point."""
    most = fraction * total
    while most / total > fraction:
        most = math.nextafter(most, 0.0)
    while math.nextafter(most, math.inf) / total <= fraction:
        most = math.nextafter(most, math.inf)
    return most
