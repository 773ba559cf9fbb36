"""Makes plans of a network from its tables: the paper's rules and network-wide budgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize.gdws import GDWSSpectrum, TripletRanking
from gdws_explorer.network.budget.request import BudgetRequest, check_fraction
from gdws_explorer.network.budget.solver import BudgetSolution, BudgetSolver, at_most
from gdws_explorer.network.budget.tables import LayerTables, Spectra
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.calibration.data_aware import layer_weights
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.plans.choices import GDWS, Choice
from gdws_explorer.network.plans.cost import gdws_cost
from gdws_explorer.network.plans.families import counts_of
from gdws_explorer.network.plans.layer import LayerSet
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.utils.checks import checked_bound


@dataclass(frozen=True, eq=False)
class Planner:
    """Plans of one network, or of one view of it; every answer is a table look-up.

    A planner never changes. Planners of different views share spectra and tables where these are
    equal.

    dense : the plan with all layers dense, whose fingerprint and label all plans have.
    layers, spectra, tables : of the network. solver : answers budgets.
    alpha : default weights `(C,)` of `lego` and `mego`, by the layer's name; None for ones.
    """

    dense: Plan
    layers: LayerSet
    spectra: Spectra
    tables: LayerTables
    solver: BudgetSolver
    alpha: Mapping[str, Tensor] | None = None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        dense: Plan,
        layers: LayerSet,
        totals: Mapping[str, int],
        calibration: Calibration | None = None,
        latencies: LatencyTable | None = None,
    ) -> Planner:
        """Returns a planner with new tables; totals : MACs and parameters of the dense network."""
        spectra = Spectra(model, layers.by_name, calibration)
        tables = LayerTables(spectra, layers.approximable, latencies)
        weights = dict.fromkeys(layers.names, 1.0)
        if calibration is not None:
            energies = {name: spectra.energy(name) for name in layers.names}
            weights |= layer_weights(calibration, energies)
        solver = BudgetSolver(spectra, tables, layers, totals, weights)
        return cls(dense, layers, spectra, tables, solver)

    def labelled(self, label: str | None) -> Planner:
        """Returns the planner with another label for its plans, and without α."""
        return replace(self, dense=replace(self.dense, calibration=label), alpha=None)

    def weighted(self, alpha: Mapping[str, Tensor]) -> Planner:
        """Returns the planner with default weights for `lego` and `mego`.

        Raises PlanError for unknown layers, BudgetError for weights that cannot be used.
        """
        for name in alpha:
            self.layers.layer(name)
        other = replace(self, alpha=dict(alpha))
        _ = other._rankings  # checks the weights now
        return other

    def timed_by(self, latencies: LatencyTable | None) -> Planner:
        """Returns the planner with other times for budgets of milliseconds."""
        tables = self.tables.timed_by(latencies)
        return replace(self, tables=tables, solver=replace(self.solver, tables=tables))

    def plan(self, choices: Mapping[str, Choice]) -> Plan:
        """Returns the plan with these choices, every other layer dense."""
        return self.dense.update(choices)

    def gdws(self, name: str) -> GDWSSpectrum:
        """Returns the GDWS spectrum of a layer. Raises PlanError."""
        self.layers.layer(name)
        spectrum: GDWSSpectrum = self.spectra.get(name, "gdws")
        return spectrum

    def lego(
        self,
        beta: float,
        alpha: Mapping[str, Tensor] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """Returns the plan of one error bound for every layer; see `Network.lego`."""
        beta = checked_bound("beta", beta)

        def choose(name: str) -> Choice:
            spectrum, ranking = self.gdws(name), self._ranking(name, alpha)
            kernels = ranking.cheapest(beta / self.spectra.scale(name, "gdws"))
            return _gdws_choice(spectrum, ranking, kernels)

        return self._layer_by_layer(choose, skip, fixed)

    def mego(
        self,
        fraction: float,
        alpha: Mapping[str, Tensor] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """Returns the plan of one share of MACs for every layer; see `Network.mego`."""
        check_fraction("the MACs fraction", fraction)

        def choose(name: str) -> Choice:
            spectrum, layer = self.gdws(name), self.layers.layer(name)
            affordable = at_most(fraction, layer.macs) // gdws_cost(layer, 1).macs
            kernels = min(max(1, affordable), spectrum.full)
            return _gdws_choice(spectrum, self._ranking(name, alpha), kernels)

        return self._layer_by_layer(choose, skip, fixed)

    def optimum(self, request: BudgetRequest) -> BudgetSolution:
        """Returns the best plan under a budget, with its value and the bound on all plans."""
        found = self.solver.solve(request)
        return BudgetSolution(self.plan(found.choices), found.found, found.bound)

    def least(self, request: BudgetRequest) -> float:
        """Returns the smallest amount for which `optimum` finds a plan."""
        return self.solver.least(request)

    def most_error(self) -> float:
        """Returns the largest useful bound for `lego`: the largest error of a dropped layer."""
        names = [name for name in self.layers.names if self._has_gdws(name)]
        errors = (self._ranking(n).error[0] * self.spectra.scale(n, "gdws") for n in names)
        largest = float(max(errors, default=0.0))
        return largest or max(self.spectra.energy(name) for name in self.layers.names)

    def beta_of(self, plan: Plan) -> float:
        """Returns the largest error of a layer in a plan; with α, of its GDWS layers, weighted."""
        return max((self._weighted_error(name, choice) for name, choice in plan), default=0.0)

    def _layer_by_layer(
        self,
        choose: Callable[[str], Choice],
        skip: Collection[str] | None,
        fixed: Mapping[str, Choice] | None,
    ) -> Plan:
        """Returns the plan of `choose(name)` for every layer that GDWS may approximate."""
        unchanged = self.layers.fixed_choices(skip, fixed)
        free = [n for n in self.layers.names if n not in unchanged and self._has_gdws(n)]
        return self.plan({**{name: choose(name) for name in free}, **unchanged})

    def _has_gdws(self, name: str) -> bool:
        return "gdws" in self.layers.layer(name).families

    def _weighted_error(self, name: str, choice: Choice) -> float:
        if self.alpha is None:
            return self.spectra.error(name, choice)
        if not isinstance(choice, GDWS):  # α weights input channels, as only GDWS does
            return 0.0
        spectrum = self.gdws(name)
        return spectrum.error(counts_of(spectrum, choice), self.alpha.get(name))

    def _ranking(self, name: str, alpha: Mapping[str, Tensor] | None = None) -> TripletRanking:
        """Returns a layer's triplets in order, by `alpha`, the planner's α, or ones."""
        if alpha is None:
            return self._rankings.get(name) or self.gdws(name).uniform
        for key in alpha:
            self.layers.layer(key)
        return self._weighted_ranking(name, alpha.get(name))

    @cached_property
    def _rankings(self) -> dict[str, TripletRanking]:
        """The triplets of the layers that the planner's α names, in order."""
        alpha = self.alpha or {}
        return {n: self._weighted_ranking(n, alpha[n]) for n in alpha if self._has_gdws(n)}

    def _weighted_ranking(self, name: str, alpha: Tensor | None) -> TripletRanking:
        try:
            return self.gdws(name).ranking(alpha)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None


def _gdws_choice(spectrum: GDWSSpectrum, ranking: TripletRanking, kernels: int) -> GDWS:
    """Returns the choice of the first kernels in a ranking.

    It names counts only where they differ from those of unit weights: equal plans, equal hash.
    """
    if ranking is spectrum.uniform:
        return GDWS(kernels)
    counts = torch.from_numpy(ranking.counts(kernels))
    if torch.equal(counts, spectrum.mego(kernels)):
        return GDWS(kernels)
    return GDWS(kernels, tuple(counts.tolist()))
