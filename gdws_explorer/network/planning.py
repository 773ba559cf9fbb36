"""Plans by rule and by budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.factorize.gdws import GDWSSpectrum, Ladder
from gdws_explorer.factorize.geometry import bound_of
from gdws_explorer.network.budgets import Optimum, Weights, at_most, check_fraction
from gdws_explorer.network.choices import GDWS, Choice, Dense
from gdws_explorer.network.cost import gdws_cost
from gdws_explorer.network.decomposed import Decomposed
from gdws_explorer.network.families import counts_of
from gdws_explorer.network.plan import Plan


class Planning(Decomposed):
    """What the paper's rules and network-wide budgets make of a model's tables; see Network."""

    _alpha: Mapping[str, Tensor] | None = None
    _ladders: dict[str, Ladder]

    def _weigh(self, alpha: Mapping[str, Tensor]) -> None:
        """Let `lego` and `mego` use these weights where they are given none."""
        for name in alpha:
            self.layer(name)
        self._alpha = dict(alpha)
        self._ladders = {}
        for name in alpha:
            if "gdws" in self.layer(name).families:
                self._ladder(name)

    def lego(
        self,
        beta: float,
        alpha: Mapping[str, Tensor] | None = None,
        *,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """One error bound for every layer: algorithm 3 of Dbouk & Shanbhag.

        beta : bound on each layer's weighted squared error, ≥ 0. alpha : weights `(C,)` by layer
        name, ones where a layer has none. skip : left dense (None: `self.skip`). fixed : choices
        that stay. Layers that GDWS cannot approximate stay dense; a layer may end dearer than
        dense, as in the paper: `budget` never does that to what it budgets.
        """
        beta = bound_of("beta", beta)

        def choose(name: str) -> Choice:
            spectrum, ladder = self.gdws(name), self._ladder(name, alpha)
            kernels = ladder.cheapest(beta / self._spectra.scale(name, "gdws"))
            return self._kept(spectrum, ladder, kernels)

        return self._each(choose, skip, fixed)

    def mego(
        self,
        fraction: float,
        alpha: Mapping[str, Tensor] | None = None,
        *,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """The same share of its own MACs for every layer, each by algorithm 1 (MEGO).

        fraction : of a layer's dense MACs, in (0, 1]; at least one kernel always stays. alpha,
        skip, fixed : as in `lego`.
        """
        check_fraction("the MACs fraction", fraction)

        def choose(name: str) -> Choice:
            spectrum, layer = self.gdws(name), self.layer(name)
            affordable = at_most(fraction, layer.macs) // gdws_cost(layer, 1).macs
            kernels = min(max(1, affordable), spectrum.full)
            ladder = self._ladder(name, alpha)
            return self._kept(spectrum, ladder, kernels)

        return self._each(choose, skip, fixed)

    def budget(
        self,
        *,
        macs: float | None = None,
        params: float | None = None,
        error: float | None = None,
        ms: float | None = None,
        families: Collection[str] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
    ) -> Plan:
        """One budget for the whole network, spent where it removes the most error.

        macs, params : fraction of the dense network's total in (0, 1], layers that are not
        approximated included; the plan has the least error. error : fraction in (0, 1] of the
        weights' squared norms; the plan has the fewest MACs. ms : measured milliseconds of one
        batch, whatever `measure_latency` found no layer to spend included. Exactly one of the four.
        families : of "gdws", "tucker2", "svd" and "spatial"; None allows all. A layer whose
        approximation would not pay stays dense. skip, fixed : as in `lego`.
        weights : what each layer's squared error counts, by name (others count 1); "relative"
        divides by its weight's squared norm, which keeps more accuracy where BatchNorm follows
        (ours, measured on the bundled networks). None adds the squared errors as they are, in a
        calibrated network as `calibrated` says.
        exact : close the gap that the greedy walk leaves (milliseconds); `optimum` reports it.
        """
        return self.optimum(
            macs=macs,
            params=params,
            error=error,
            ms=ms,
            families=families,
            skip=skip,
            fixed=fixed,
            weights=weights,
            exact=exact,
        ).plan

    def optimum(
        self,
        *,
        macs: float | None = None,
        params: float | None = None,
        error: float | None = None,
        ms: float | None = None,
        families: Collection[str] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
    ) -> Optimum:
        """The plan of `budget`, with what it reached and what no plan can beat."""
        given = {"macs": macs, "params": params, "error": error, "ms": ms}
        budgets = {name: value for name, value in given.items() if value is not None}
        if len(budgets) != 1:
            raise BudgetError("give exactly one of macs=, params=, error= and ms=.")
        ((measure, fraction),) = budgets.items()
        if measure != "ms":
            check_fraction(f"the {measure} budget", fraction)
        elif not isinstance(fraction, int | float) or not 0 < fraction < math.inf:
            raise BudgetError(f"the ms budget is {fraction}; expected milliseconds, more than 0.")
        held = self._held(skip, fixed)
        made = self._budgets.optimum(measure, fraction, families, held, weights, exact)
        return Optimum(self.plan(made.choices), made.found, made.bound)

    def least(
        self,
        measure: str = "macs",
        *,
        families: Collection[str] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
    ) -> float:
        """The least that `budget` can reach of "macs", "params" or "error", or in "ms"."""
        return self._budgets.least(measure, families, self._held(skip, fixed), weights)

    def most_error(self) -> float:
        """The largest error that `lego` can be asked for: a layer's, dropped whole."""
        able = [name for name in self.names if "gdws" in self.layer(name).families]
        errors = (self._ladder(n).error[0] * self._spectra.scale(n, "gdws") for n in able)
        return float(max(errors, default=0.0)) or max(self.energy(name) for name in self.names)

    def beta_of(self, plan: Plan) -> float:
        """The largest error of a layer in a plan; with α, of its GDWS layers, weighted."""
        return max((self._weighed_error(name, choice) for name, choice in plan), default=0.0)

    # -- inside ------------------------------------------------------------------------

    def _each(
        self,
        choose: Callable[[str], Choice],
        skip: Collection[str] | None,
        fixed: Mapping[str, Choice] | None,
    ) -> Plan:
        held = self._held(skip, fixed)
        able = [n for n in self.names if n not in held and "gdws" in self.layer(n).families]
        return self.plan({**{name: choose(name) for name in able}, **held})

    def _held(
        self, skip: Collection[str] | None, fixed: Mapping[str, Choice] | None
    ) -> dict[str, Choice]:
        skipped = self.skip if skip is None else frozenset(self._known(skip))
        for name in fixed or {}:
            if name not in self.names:
                self.layer(name)
                raise PlanError(f"{name} cannot be fixed: it can only stay dense.")
        return {**{n: Dense() for n in self.names if n in skipped}, **(fixed or {})}

    def _weighed_error(self, name: str, choice: Choice) -> float:
        if self._alpha is None:
            return self.error(name, choice)
        if not isinstance(choice, GDWS):  # α weighs the blocks that only GDWS has
            return 0.0
        spectrum = self.gdws(name)
        return spectrum.error(counts_of(spectrum, choice), self._alpha.get(name))

    def _ladder(self, name: str, alpha: Mapping[str, Tensor] | None = None) -> Ladder:
        """A layer's triplets by these weights, or by those of the network, or unweighted."""
        if alpha is not None:
            for key in alpha:
                self.layer(key)
            return self._weighed(name, alpha.get(name))
        if self._alpha is None or name not in self._alpha:
            return self.gdws(name).uniform
        if name not in self._ladders:
            self._ladders[name] = self._weighed(name, self._alpha[name])
        return self._ladders[name]

    def _weighed(self, name: str, alpha: Tensor | None) -> Ladder:
        try:
            return self.gdws(name).ladder(alpha)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None

    @staticmethod
    def _kept(spectrum: GDWSSpectrum, ladder: Ladder, kernels: int) -> GDWS:
        """Counts only where they differ from the unit-weight choice: equal plans, equal hash."""
        if ladder is spectrum.uniform:
            return GDWS(kernels)
        counts = torch.from_numpy(ladder.counts(kernels))
        if torch.equal(counts, spectrum.mego(kernels)):
            return GDWS(kernels)
        return GDWS(kernels, tuple(counts.tolist()))
