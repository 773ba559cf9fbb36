"""A model's layers, and what every approximation of them errs by: decomposed once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.factorize.gdws import GDWSSpectrum, TripletRanking
from gdws_explorer.factorize.tucker import Tucker2Spectrum
from gdws_explorer.network.budget.allocation import ParetoTable
from gdws_explorer.network.budget.prepare import prepare
from gdws_explorer.network.budget.solver import (
    BudgetSolution,
    BudgetSolver,
    Weights,
    at_most,
    check_fraction,
)
from gdws_explorer.network.budget.tables import LayerTables, Spectra
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.calibration.data_aware import layer_weights, source_mismatch
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense
from gdws_explorer.network.plans.cost import gdws_cost
from gdws_explorer.network.plans.families import counts_of
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.tracing import fingerprint, one_example, trace
from gdws_explorer.utils.checks import checked_bound
from gdws_explorer.utils.modules import own_copy


class Decomposed:
    """The layers of a model, their spectra and tables; see Network."""

    calibration: Calibration | None = None
    label: str | None = None
    _weights: str | None = None  # the label of weights that are not those of the fingerprint
    latencies: LatencyTable | None = None

    def __init__(
        self, model: nn.Module, example: Tensor, *, skip: Collection[str] | None = None
    ) -> None:
        self.model = own_copy(model)
        self.example = one_example(example, self.model)
        self.input_shape = tuple(self.example.shape[1:])
        traced = trace(self.model, self.example)
        self.layers = traced.layers
        self.unused = traced.unused
        self._by_name = {layer.name: layer for layer in self.layers}
        self.names = tuple(layer.name for layer in self.layers if layer.families)
        self.macs = traced.macs
        parameters, buffers = list(self.model.parameters()), list(self.model.buffers())
        self.params = sum(p.numel() for p in parameters)
        self.bytes = sum(t.numel() * t.element_size() for t in parameters + buffers)
        self.fingerprint = fingerprint(self.model, self.layers, self.input_shape)
        self.skip = frozenset(self._ends() if skip is None else self._known(skip))
        self._tabulate()

    def _tabulate(self) -> None:
        """Make room for the spectra and tables of the layers as they are."""
        able = tuple(self._by_name[n] for n in self.names)
        self._spectra = Spectra(self.model, self._by_name, self.calibration)
        self._tables = LayerTables(self._spectra, able)
        totals = {"macs": self.macs, "params": self.params}
        weights = None
        if self.calibration is not None:
            energies = {name: self._spectra.energy(name) for name in self.names}
            weights = layer_weights(self.calibration, energies)
        if self.latencies is not None:
            self._tables.time_by(self.latencies)
        self._budgets = BudgetSolver(self._spectra, self._tables, able, totals, weights)

    def layer(self, name: str) -> Layer:
        """The traced layer of that name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise PlanError(
                f"the network has no layer {name!r}; it has {', '.join(self._by_name)}."
            ) from None

    def spectrum(self, name: str, family: str) -> Any:
        """The spectrum of a layer in a family ("gdws", "tucker2", "svd", "spatial").

        Computed at its first use: a GDWSSpectrum, Tucker2Spectrum, SVDSpectrum or
        SpatialSVDSpectrum.
        """
        self.layer(name)
        return self._spectra.get(name, family)

    def gdws(self, name: str) -> GDWSSpectrum:
        """The GDWS spectrum of a layer."""
        spectrum: GDWSSpectrum = self.spectrum(name, "gdws")
        return spectrum

    def tucker(self, name: str) -> Tucker2Spectrum:
        """The Tucker-2 spectrum of a layer."""
        spectrum: Tucker2Spectrum = self.spectrum(name, "tucker2")
        return spectrum

    def error(self, name: str, choice: Choice) -> float:
        """The squared error of a layer's kernel under a choice; a wrong rank names the layer."""
        self.layer(name)
        return self._spectra.error(name, choice)

    def energy(self, name: str) -> float:
        """The squared norm of a layer's kernel: the error of dropping it whole."""
        self.layer(name)
        return self._spectra.energy(name)

    def table(self, name: str, families: Collection[str], measure: str = "macs") -> ParetoTable:
        """The non-dominated choices of a layer among `families`: rising cost, falling error."""
        return self._tables.table(self.layer(name), tuple(families), measure)

    def prepare(
        self,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        *,
        cache: bool | str | os.PathLike[str] = False,
    ) -> Self:
        """Compute every spectrum and table now, with progress from 0 to 1; returns itself.

        As many layers at a time as torch has threads. cache : a folder that keeps the tables under
        the network's fingerprint, so that the next time takes a fraction of a second; True for
        the user's cache folder (from two million weights on). A damaged file is made again; a
        calibrated or trained network keeps none.
        """
        able = tuple(self._by_name[name] for name in self.names)
        folder = cache if self.calibration is None and self._weights is None else False
        prepare(self._spectra, self._tables, able, self.fingerprint, folder, progress, cancel)
        return self

    def counts(self, name: str, choice: GDWS) -> Tensor:
        """The depthwise kernels of every input channel, `(C,)`, under a GDWS choice."""
        self.error(name, choice)
        return counts_of(self.gdws(name), choice)

    def plan(self, choices: Mapping[str, Choice] | None = None) -> Plan:
        """The plan with these choices, every other layer dense."""
        layers = tuple((name, Dense()) for name in self.names)
        dense = Plan(self.fingerprint, self.input_shape, layers, self.label)
        return dense.update(choices or {})

    def check(self, plan: Plan) -> None:
        """Raise PlanError or BudgetError unless the plan fits this network."""
        self._check_owner(plan)
        for name, choice in plan:
            self._spectra.error(name, choice)

    # -- inside ------------------------------------------------------------------------

    def _check_owner(self, plan: Plan) -> None:
        if not isinstance(plan, Plan):
            raise PlanError(f"{type(plan).__name__} is not a plan; expected a gx.Plan.")
        if plan.fingerprint != self.fingerprint:
            raise PlanError(
                f"the plan was made for another network (fingerprint {plan.fingerprint[:12]}…, "
                f"this one has {self.fingerprint[:12]}…); open the network it belongs to."
            )
        if plan.calibration != self.label:
            raise PlanError(source_mismatch(plan.calibration, self.label))
        if tuple(name for name, _ in plan) != self.names:
            raise PlanError("the plan's layers are not this network's; make it with net.plan().")

    def _ends(self) -> list[str]:
        """The first convolution, and the classifier where the network ends with a linear layer."""
        convolutions = [layer.name for layer in self.layers if layer.in_size]
        return convolutions[:1] + [x.name for x in self.layers[-1:] if not x.in_size]

    def _known(self, names: Collection[str]) -> Collection[str]:
        if isinstance(names, str):
            raise PlanError(f"skip is the text {names!r}; expected a collection of layer names.")
        for name in names:
            self.layer(name)
        return names


class Planning(Decomposed):
    """What the paper's rules and network-wide budgets make of a model's tables; see Network."""

    _alpha: Mapping[str, Tensor] | None = None
    _ladders: dict[str, TripletRanking]

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
        beta = checked_bound("beta", beta)

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
    ) -> BudgetSolution:
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
        return BudgetSolution(self.plan(made.choices), made.found, made.bound)

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

    def _ladder(self, name: str, alpha: Mapping[str, Tensor] | None = None) -> TripletRanking:
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

    def _weighed(self, name: str, alpha: Tensor | None) -> TripletRanking:
        try:
            return self.gdws(name).ladder(alpha)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None

    @staticmethod
    def _kept(spectrum: GDWSSpectrum, ladder: TripletRanking, kernels: int) -> GDWS:
        """Counts only where they differ from the unit-weight choice: equal plans, equal hash."""
        if ladder is spectrum.uniform:
            return GDWS(kernels)
        counts = torch.from_numpy(ladder.counts(kernels))
        if torch.equal(counts, spectrum.mego(kernels)):
            return GDWS(kernels)
        return GDWS(kernels, tuple(counts.tolist()))
