"""A model's layers, and what every approximation of them errs by: decomposed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from torch import Tensor, nn

from gdws_explorer.errors import PlanError
from gdws_explorer.factorize.gdws import GDWSSpectrum
from gdws_explorer.factorize.tucker import Tucker2Spectrum
from gdws_explorer.network.allocate import Table
from gdws_explorer.network.aware import importance, other_source
from gdws_explorer.network.budgets import Budgets
from gdws_explorer.network.calibration import Calibration
from gdws_explorer.network.choices import GDWS, Choice, Dense
from gdws_explorer.network.families import counts_of
from gdws_explorer.network.latency import Latencies
from gdws_explorer.network.layers import Layer, fingerprint, one_example, own_copy, trace
from gdws_explorer.network.plan import Plan
from gdws_explorer.network.prepare import prepare
from gdws_explorer.network.tables import Spectra, Tables


class Decomposed:
    """The layers of a model, their spectra and tables; see Network."""

    calibration: Calibration | None = None
    label: str | None = None
    _weights: str | None = None  # the label of weights that are not those of the fingerprint
    latencies: Latencies | None = None

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
        self._tables = Tables(self._spectra, able)
        totals = {"macs": self.macs, "params": self.params}
        weights = None
        if self.calibration is not None:
            energies = {name: self._spectra.energy(name) for name in self.names}
            weights = importance(self.calibration, energies)
        if self.latencies is not None:
            self._tables.time_by(self.latencies)
        self._budgets = Budgets(self._spectra, self._tables, able, totals, weights)

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
            raise PlanError(other_source(plan.calibration, self.label))
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
