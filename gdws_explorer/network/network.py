"""A whole model: its layers, their spectra and costs; plans, summaries and compressed copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.factorize.gdws import GDWSSpectrum
from gdws_explorer.factorize.geometry import bound_of
from gdws_explorer.factorize.tucker import Tucker2Spectrum
from gdws_explorer.network.allocate import Table
from gdws_explorer.network.budgets import Budgets, Optimum, Weights, at_most, check_fraction
from gdws_explorer.network.build import with_layers
from gdws_explorer.network.cost import cost, gdws_cost
from gdws_explorer.network.families import FAMILIES, counts_of
from gdws_explorer.network.layers import Layer, fingerprint, one_example, own_copy, trace
from gdws_explorer.network.plan import GDWS, Choice, Dense, Plan, family
from gdws_explorer.network.prepare import prepare
from gdws_explorer.network.summary import LayerSummary, Summary
from gdws_explorer.network.tables import Spectra, Tables


class Network:
    """A model whose convolutions are decomposed once; everything after is a look-up.

    Parameters
    ----------
    model : nn.Module
        Copied at once; the original is never changed.
    example : Tensor
        A batch `(N, C, H, W)`; only the first image is used.
    skip : names of layers that budgets leave dense; None skips the first convolution, as the
        paper does, and a linear layer at the end, the classifier; `()` skips none.

    Attributes
    ----------
    model : the copy, in eval mode. example : `(1, C, H, W)`. input_shape : `(C, H, W)`.
    layers : every layer the network calls, in call order. unused : convolutions never called.
    names : the layers that can be approximated, in call order.
    macs, params, bytes : of the dense network. fingerprint : SHA-256, 64 hex digits.
    """

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
        self._spectra = Spectra(self.model, self._by_name)
        able = tuple(self._by_name[n] for n in self.names)
        self._tables = Tables(self._spectra, able)
        totals = {"macs": self.macs, "params": self.params}
        self._budgets = Budgets(self._spectra, self._tables, able, totals)

    # -- layers ----------------------------------------------------------------------

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

    def table(self, name: str, families: Collection[str], measure: str = "macs") -> Table:
        """The non-dominated choices of a layer among `families`: rising cost, falling error."""
        return self._tables.table(self.layer(name), tuple(families), measure)

    def prepare(
        self,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        *,
        cache: bool | str | os.PathLike[str] = False,
    ) -> Network:
        """Compute every spectrum and table now, with progress from 0 to 1; returns itself.

        As many layers at a time as torch has threads. cache : a folder that keeps the tables under
        the network's fingerprint, so that the next time takes a fraction of a second; True for
        the user's cache folder (from two million weights on). A damaged file is made again.
        """
        able = tuple(self._by_name[name] for name in self.names)
        prepare(self._spectra, self._tables, able, self.fingerprint, cache, progress, cancel)
        return self

    # -- plans -----------------------------------------------------------------------

    def plan(self, choices: Mapping[str, Choice] | None = None) -> Plan:
        """The plan with these choices, every other layer dense."""
        dense = Plan(self.fingerprint, self.input_shape, tuple((n, Dense()) for n in self.names))
        return dense.update(choices or {})

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
        dense, as in the paper: `budget` never does that.
        """
        beta = bound_of("beta", beta)

        def choose(name: str) -> Choice:
            spectrum = self.gdws(name)
            weights = self._weights(name, alpha)
            if weights is None:
                return GDWS(spectrum.uniform.cheapest(beta))
            return self._canonical(spectrum, spectrum.lego(beta, weights))

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
            weights = self._weights(name, alpha)
            if weights is None:
                return GDWS(kernels)
            return self._canonical(spectrum, spectrum.mego(kernels, weights))

        return self._each(choose, skip, fixed)

    def budget(
        self,
        *,
        macs: float | None = None,
        params: float | None = None,
        error: float | None = None,
        families: Collection[str] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
    ) -> Plan:
        """One budget for the whole network, spent where it removes the most error.

        macs, params : fraction of the dense network's total in (0, 1], layers that are not
        approximated included; the plan has the least error. error : fraction in (0, 1] of the
        weights' squared norms; the plan has the fewest MACs. Exactly one of the three.
        families : of "gdws", "tucker2", "svd" and "spatial"; None allows all. A layer whose
        approximation would not pay stays dense. skip, fixed : as in `lego`.
        weights : what each layer's squared error counts, by name (others count 1); "relative"
        divides by its weight's squared norm, which keeps more accuracy where BatchNorm follows
        (ours, measured on the bundled networks). None adds the squared errors as they are.
        exact : close the gap that the greedy walk leaves (milliseconds); `optimum` reports it.
        """
        return self.optimum(
            macs=macs,
            params=params,
            error=error,
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
        families: Collection[str] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
    ) -> Optimum:
        """The plan of `budget`, with what it reached and what no plan can beat."""
        given = {"macs": macs, "params": params, "error": error}
        budgets = {name: value for name, value in given.items() if value is not None}
        if len(budgets) != 1:
            raise BudgetError("give exactly one of macs=, params= and error=.")
        ((measure, fraction),) = budgets.items()
        check_fraction(f"the {measure} budget", fraction)
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
        """The smallest fraction of MACs, parameters or error ("error") that `budget` can reach."""
        return self._budgets.least(measure, families, self._held(skip, fixed), weights)

    # -- what a plan is ---------------------------------------------------------------

    def check(self, plan: Plan) -> None:
        """Raise PlanError or BudgetError unless the plan fits this network."""
        self._check_owner(plan)
        for name, choice in plan:
            self._spectra.error(name, choice)

    def summary(self, plan: Plan) -> Summary:
        """MACs, parameters, bytes and error of a plan, in total and per layer: look-ups only."""
        self._check_owner(plan)
        layers = {name: self._layer_summary(name, choice) for name, choice in plan}
        error = sum(s.error for s in layers.values())
        return Summary(
            macs=self.macs + sum(s.macs - s.dense_macs for s in layers.values()),
            params=self.params + sum(s.params - s.dense_params for s in layers.values()),
            bytes=self.bytes + sum(s.bytes - s.dense_bytes for s in layers.values()),
            error=error,
            relative_error=error / self._energy,
            dense_macs=self.macs,
            dense_params=self.params,
            dense_bytes=self.bytes,
            layers=layers,
        )

    def build(self, plan: Plan) -> nn.Module:
        """A compressed copy of the network, in eval mode, its parameters trainable."""
        self.check(plan)
        choices = dict(plan.layers)

        def make(name: str, _module: nn.Module) -> nn.Module | None:
            choice = choices.get(name, Dense())
            if isinstance(choice, Dense):
                return None
            one = family(choice)
            return FAMILIES[one].build(self.spectrum(name, one), choice)

        return with_layers(self.model, make).eval().requires_grad_(True)

    def counts(self, name: str, choice: GDWS) -> Tensor:
        """The depthwise kernels of every input channel, `(C,)`, under a GDWS choice."""
        self.error(name, choice)
        return counts_of(self.gdws(name), choice)

    # -- inside ------------------------------------------------------------------------

    def _check_owner(self, plan: Plan) -> None:
        if not isinstance(plan, Plan):
            raise PlanError(f"{type(plan).__name__} is not a plan; expected a gx.Plan.")
        if plan.fingerprint != self.fingerprint:
            raise PlanError(
                f"the plan was made for another network (fingerprint {plan.fingerprint[:12]}…, "
                f"this one has {self.fingerprint[:12]}…); open the network it belongs to."
            )
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

    def _layer_summary(self, name: str, choice: Choice) -> LayerSummary:
        layer = self._by_name[name]
        error = self._spectra.error(name, choice)  # refuses what does not fit
        return LayerSummary(
            choice,
            *cost(layer, choice),
            error,
            layer.macs,
            layer.params,
            layer.bytes,
            self._spectra.energy(name),
        )

    def _each(
        self,
        choose: Callable[[str], Choice],
        skip: Collection[str] | None,
        fixed: Mapping[str, Choice] | None,
    ) -> Plan:
        held = self._held(skip, fixed)
        able = [n for n in self.names if n not in held and "gdws" in self.layer(n).families]
        return self.plan({**{name: choose(name) for name in able}, **held})

    @property
    def _energy(self) -> float:
        return self._spectra.total_energy or 1.0  # all weights may be zero

    def _held(
        self, skip: Collection[str] | None, fixed: Mapping[str, Choice] | None
    ) -> dict[str, Choice]:
        skipped = self.skip if skip is None else frozenset(self._known(skip))
        for name in fixed or {}:
            if name not in self.names:
                self.layer(name)
                raise PlanError(f"{name} cannot be fixed: it can only stay dense.")
        return {**{n: Dense() for n in self.names if n in skipped}, **(fixed or {})}

    @staticmethod
    def _canonical(spectrum: GDWSSpectrum, counts: Tensor) -> GDWS:
        """Counts only where they differ from the unit-weight choice: equal plans, equal hash."""
        kernels = int(counts.sum())
        if torch.equal(counts, spectrum.mego(kernels)):
            return GDWS(kernels)
        return GDWS(kernels, tuple(counts.tolist()))

    def _weights(self, name: str, alpha: Mapping[str, Tensor] | None) -> Tensor | None:
        if alpha is None:
            return None
        for key in alpha:
            self.layer(key)
        return alpha.get(name)
