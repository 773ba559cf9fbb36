"""Spectra and choice tables of a network's layers, computed at their first use and kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.factorize import gdws, tucker
from gdws_explorer.network.allocate import Allocator, Fixed, Options, Table
from gdws_explorer.network.cost import cost, gdws_cost, tucker2_cost
from gdws_explorer.network.layers import Layer
from gdws_explorer.network.plan import GDWS, Choice, Dense, Tucker2, family

MEASURES = ("macs", "params")
APPROXIMATIONS = ("gdws", "tucker2")


class Spectra:
    """What every approximation of a network's layers errs by."""

    def __init__(self, model: nn.Module, layers: Mapping[str, Layer]) -> None:
        self._model = model
        self._layers = layers
        self._gdws: dict[str, gdws.GDWSSpectrum] = {}
        self._tucker: dict[str, tucker.Tucker2Spectrum] = {}
        self._energy: dict[str, float] = {}

    def gdws(self, name: str) -> gdws.GDWSSpectrum:
        """The GDWS spectrum of a layer."""
        if name not in self._gdws:
            self._gdws[name] = gdws.spectrum(self._convolution(name, "gdws"))
        return self._gdws[name]

    def tucker(self, name: str) -> tucker.Tucker2Spectrum:
        """The Tucker-2 spectrum of a layer."""
        if name not in self._tucker:
            self._tucker[name] = tucker.spectrum(self._convolution(name, "tucker2"))
        return self._tucker[name]

    def error(self, name: str, choice: Choice) -> float:
        """The squared error of a layer's kernel under a choice; a wrong rank names the layer."""
        if isinstance(choice, Dense):
            return 0.0
        try:
            if isinstance(choice, Tucker2):
                return self.tucker(name).error(choice.r_out, choice.r_in)
            if isinstance(choice, GDWS):
                return self._gdws_error(name, choice)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None
        raise PlanError(f"{name}: {choice!r} is not a choice, see gx.{family(choice)}.")

    def counts(self, name: str, choice: GDWS) -> Tensor:
        """The depthwise kernels of every input channel, `(C,)`."""
        if choice.counts is None:
            return self.gdws(name).mego(choice.G)
        counts = torch.tensor(choice.counts, dtype=torch.int64)
        if int(counts.sum()) != choice.G:
            raise BudgetError(f"counts sum to {int(counts.sum())}; expected G = {choice.G}.")
        return counts

    def energy(self, name: str) -> float:
        """The squared norm of a layer's kernel."""
        if name not in self._energy:
            weight = self._model.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            self._energy[name] = float(weight.detach().double().square().sum())
        return self._energy[name]

    @cached_property
    def total_energy(self) -> float:
        """The squared norms of all kernels that can be approximated, summed."""
        return sum(self.energy(name) for name, layer in self._layers.items() if layer.families)

    def _gdws_error(self, name: str, choice: GDWS) -> float:
        spectrum = self.gdws(name)
        if choice.counts is not None:
            return spectrum.error(self.counts(name, choice))
        if type(choice.G) is not int or not 1 <= choice.G <= spectrum.full:
            spectrum.mego(choice.G)  # raises with the allowed range
        return float(spectrum.uniform.error[choice.G])

    def _convolution(self, name: str, one: str) -> nn.Conv2d:
        why = self._layers[name].reasons.get(one)
        if why is not None:
            raise PlanError(f"{name} cannot be approximated by {one}: {why}.")
        module = self._model.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        return module


class Tables:
    """The choices of every layer, and of the whole network, by measure and families."""

    def __init__(self, spectra: Spectra, layers: tuple[Layer, ...]) -> None:
        self._spectra = spectra
        self._layers = layers
        self._tables: dict[object, Table] = {}
        self._allocators: dict[object, Allocator] = {}

    def table(
        self, layer: Layer, families: tuple[str, ...], measure: str, *, dense: bool = False
    ) -> Table:
        """The non-dominated choices of one layer; `dense` adds the layer as it is."""
        key = (layer.name, families, measure, dense)
        if key not in self._tables:
            able = [self._options(layer, one, measure) for one in families if one in layer.families]
            if not able and not dense:
                raise PlanError(f"{layer.name} cannot be approximated by {' or '.join(families)}.")
            as_it_is = [self._fixed(layer, Dense(), measure)] if dense else []
            self._tables[key] = Table.of([*as_it_is, *able])
        return self._tables[key]

    def allocator(
        self,
        measure: str,
        families: Collection[str] | None,
        held: Mapping[str, Choice],
        weights: Mapping[str, float] | None = None,
    ) -> Allocator:
        """The network-wide allocation among `families`, with some choices held.

        weights : what each layer's squared error is multiplied with before they are added; None
            for ones.
        """
        if measure not in MEASURES:
            raise BudgetError(f"{measure!r} is no measure; expected one of {MEASURES}.")
        allowed = APPROXIMATIONS if families is None else tuple(families)
        if isinstance(families, str) or not set(allowed) <= set(APPROXIMATIONS):
            raise BudgetError(
                f"families is {families!r}; expected a collection of names out of {APPROXIMATIONS}."
            )
        key = (measure, allowed, tuple(held.items()), tuple((weights or {}).items()))
        if key not in self._allocators:
            if len(self._allocators) >= 16:  # locks come and go; the tables stay
                self._allocators.clear()
            tables = {
                layer.name: Table.of([self._fixed(layer, held[layer.name], measure)])
                if layer.name in held
                else self.table(layer, allowed, measure, dense=True)
                for layer in self._layers
            }
            if weights is not None:
                tables = {name: table.weighed(weights[name]) for name, table in tables.items()}
            self._allocators[key] = Allocator(tables)
        return self._allocators[key]

    def _fixed(self, layer: Layer, choice: Choice, measure: str) -> Fixed:
        worth = getattr(cost(layer, choice), measure)
        return Fixed(choice, np.array([worth]), np.array([self._spectra.error(layer.name, choice)]))

    def _options(self, layer: Layer, one: str, measure: str) -> Options:
        if one == "gdws":
            spectrum = self._spectra.gdws(layer.name)
            kernels: Any = np.arange(1, spectrum.full + 1)
            worth = getattr(gdws_cost(layer, kernels), measure)
            return Options(GDWS, worth, spectrum.uniform.error[1:], kernels[:, None])
        factors = self._spectra.tucker(layer.name)
        most_out, most_in = factors.full
        r_out, r_in = (axis.ravel() for axis in np.mgrid[1 : most_out + 1, 1 : most_in + 1])
        worth = getattr(tucker2_cost(layer, r_out, r_in), measure)
        errors = factors.errors[:most_out, :most_in].ravel()
        return Options(Tucker2, worth, errors, np.stack([r_out, r_in], axis=1))
