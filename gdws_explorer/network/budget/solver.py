"""Fractions of a network's total, weights of its layers' errors, and what a budget comes to."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.allocation import Allocation
from gdws_explorer.network.budget.tables import NANO, LayerTables, Spectra
from gdws_explorer.network.plans.choices import Choice
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import Plan

Weights = Mapping[str, float] | Literal["relative"] | None
WORDS = {"macs": "MACs", "params": "parameters"}


class BudgetSolution(NamedTuple):
    """A plan under a budget: found ≥ the best there is ≥ bound.

    plan : what `Network.budget` returns. found : its total error (weighed), or its MACs under an
    error budget. bound : no plan of these families is below it.
    """

    plan: Plan
    found: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the plan may be from the best, as a fraction of it; 0 where it is proven."""
        return 0.0 if self.found <= self.bound else (self.found - self.bound) / self.found


class BudgetSolver:
    """Budgets of one network.

    layers : those that can be approximated. totals : the whole dense network's MACs and parameters.
    weights : what a layer's squared error counts where nobody says, by name; None for 1.
    """

    def __init__(
        self,
        spectra: Spectra,
        tables: LayerTables,
        layers: tuple[Layer, ...],
        totals: Mapping[str, int],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._spectra = spectra
        self._tables = tables
        self._layers = {layer.name: layer for layer in layers}
        self._totals = totals
        known = weights or {}
        self.weights = {name: known.get(name, 1.0) for name in self._layers}

    def optimum(
        self,
        measure: str,
        fraction: float,
        families: Collection[str] | None,
        held: Mapping[str, Choice],
        weights: Weights,
        exact: bool,
    ) -> Allocation:
        """The allocation under a fraction of "macs", "params" or "error", or under "ms".

        See Network.budget.
        """
        shares = self._shares(weights)
        if measure == "error":
            allocator = self._tables.allocator("macs", families, held, shares)
            energy = self._energy(shares)
            if allocator.least_error / energy > fraction:
                raise BudgetError(
                    f"an error of {fraction:.3g} cannot be met: the fixed layers alone have "
                    f"{allocator.least_error / energy:.3g}."
                )
            made = allocator.under_error(_most(fraction, energy), exact=exact)
            rest = self._rest("macs")
            return Allocation(made.choices, made.found + rest, made.bound + rest)
        allocator = self._tables.allocator(measure, families, held, shares)
        rest = self._rest(measure)
        least = rest + allocator.least_cost
        if measure == "ms":
            whole, asked = int(NANO * fraction), f"{fraction:.4g} ms"
            # A plan's own milliseconds, as a budget, find it: layers are rounded to nanoseconds.
            whole = least if least - self.slack <= whole < least else whole
            needed = f"{least / NANO:.4g} ms"
        else:
            total = self._totals[measure]
            whole, asked = at_most(fraction, total), f"{fraction:.2%} of the {WORDS[measure]}"
            needed = f"{least / total:.2%}"
        if whole < least:
            raise BudgetError(
                f"a budget of {asked} cannot be met: with these families, skipped and fixed layers "
                f"the cheapest plan needs {needed}."
            )
        return allocator.under_cost(whole - rest, exact=exact)

    def least(
        self,
        measure: str,
        families: Collection[str] | None,
        held: Mapping[str, Choice],
        weights: Weights,
    ) -> float:
        """The smallest fraction, or milliseconds, that `optimum` can reach."""
        shares = self._shares(weights)
        if measure == "error":
            allocator = self._tables.allocator("macs", families, held, shares)
            return allocator.least_error / self._energy(shares)
        allocator = self._tables.allocator(measure, families, held, shares)
        whole = NANO if measure == "ms" else self._totals[measure]
        return (self._rest(measure) + allocator.least_cost) / whole

    def _shares(self, weights: Weights) -> dict[str, float]:
        """What each layer's squared error counts."""
        if weights == "relative":
            return {name: 1 / (self._spectra.energy(name) or 1.0) for name in self._layers}
        if weights is None:
            return self.weights
        if isinstance(weights, str):
            raise BudgetError(f'weights is {weights!r}; expected "relative" or a mapping.')
        for name, weight in weights.items():
            if name not in self._layers:
                raise PlanError(
                    f"weights name {name!r}, which cannot be approximated; expected some of "
                    f"{', '.join(self._layers)}."
                )
            if not 0 < weight < math.inf:
                raise BudgetError(f"the weight of {name} is {weight}; expected a number > 0.")
        return {name: float(weights.get(name, 1.0)) for name in self._layers}

    @property
    def slack(self) -> int:
        """The nanoseconds by which the milliseconds of a plan may differ from its layers' sum."""
        return len(self._layers) + 2

    @cached_property
    def energy(self) -> float:
        """The total error of dropping everything, by the default weights."""
        return self._energy(self.weights)

    def _energy(self, shares: Mapping[str, float]) -> float:
        """The weighed squared norms of all layers: the error of dropping everything."""
        energy = sum(self._spectra.energy(name) * share for name, share in shares.items())
        return energy or 1.0  # all weights may be zero

    def _rest(self, measure: str) -> int:
        """The part of the dense network's cost that no plan can change."""
        if measure == "ms":
            return self._tables.rest
        able = sum(int(getattr(layer, measure)) for layer in self._layers.values())
        return self._totals[measure] - able


def check_fraction(what: str, fraction: float) -> None:
    """Raise BudgetError unless `fraction` lies in (0, 1]."""
    if not isinstance(fraction, int | float | np.number) or not 0 < fraction <= 1:
        raise BudgetError(f"{what} is {fraction}; expected a fraction of the dense one in (0, 1].")


def at_most(fraction: float, total: int) -> int:
    """The largest whole n with `n / total ≤ fraction`, so that a plan's own fraction finds it."""
    near = round(fraction * total)
    return near if near / total <= fraction else near - 1


def _most(fraction: float, total: float) -> float:
    """The largest x with `x / total ≤ fraction`, rounding included, within a few steps."""
    most = fraction * total
    while most / total > fraction:
        most = math.nextafter(most, 0.0)
    while math.nextafter(most, math.inf) / total <= fraction:
        most = math.nextafter(most, math.inf)
    return most
