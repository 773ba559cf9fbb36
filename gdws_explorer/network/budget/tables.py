"""Spectra and choice tables of a network's layers, computed at their first use and kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.budget.allocation import Allocator, ChoiceSet, FixedChoice, ParetoTable
from gdws_explorer.network.budget.table_cache import Cache
from gdws_explorer.network.calibration.calibrate import Calibration
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.choices import ranks_of as ranks_of
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.utils.devices import to_float64

MEASURES = ("macs", "params")
NANO = 1e6  # a budget of milliseconds is kept in whole nanoseconds


class Spectra:
    """What every approximation of a network's layers errs by.

    calibration : where there is one, errors are in the layers' outputs, and a layer that it does
        not know has none.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Layer],
        calibration: Calibration | None = None,
    ) -> None:
        self._model = model
        self._layers = layers
        self._calibration = calibration
        self._spectra: dict[tuple[str, str], Any] = {}
        self._energy: dict[str, float] = {}
        self.cache: Cache | None = None

    def get(self, name: str, one: str) -> Any:
        """The spectrum of a layer in a family, computed at its first use."""
        if (name, one) not in self._spectra:
            if one not in FAMILIES:
                raise PlanError(f"there is no family {one!r}; there are {', '.join(FAMILIES)}.")
            why = self._layers[name].reasons.get(one)
            if why is not None:
                raise PlanError(f"{name} cannot be approximated by {one}: {why}.")
            module = self._model.get_submodule(name)
            parts = None if self.cache is None else self.cache.get(f"{name}/{one}")
            moments = None if self._calibration is None else self._calibration[name]
            self._spectra[name, one] = (
                FAMILIES[one].decompose(module, moments)
                if parts is None
                else FAMILIES[one].of_parts(module, parts)
            )
        return self._spectra[name, one]

    def parts(self, wanted: Collection[tuple[Layer, str]]) -> dict[str, dict[str, Tensor]]:
        """What a cache keeps of these layers' spectra, by entry."""
        return {
            f"{layer.name}/{one}": FAMILIES[one].parts(self.get(layer.name, one))
            for layer, one in wanted
        }

    def error(self, name: str, choice: Choice) -> float:
        """The squared error of a layer's weights under a choice; a wrong rank names the layer."""
        if isinstance(choice, Dense):
            return 0.0
        one = family_of(choice)
        spectrum = self.get(name, one)
        try:
            return FAMILIES[one].error(spectrum, choice) * self.scale(name, one)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None

    def scale(self, name: str, one: str) -> float:
        """What the errors of a family's spectrum are multiplied with; 1 for those of weights.

        Each family sees the inputs' correlations its own way (GDWS none between channels, Tucker-2
        and SVD as a product), and so another energy of the same output: brought to the measured
        one, their errors can be compared.
        """
        if self._calibration is None:
            return 1.0
        whole = FAMILIES[one].total_energy(self.get(name, one))
        return self.energy(name) / whole if whole else 1.0

    def energy(self, name: str) -> float:
        """The squared norm of a layer's weight, or of its output: the error of a layer of zeros."""
        if name not in self._energy:
            if self._calibration is None:
                weight = self._model.get_submodule(name).weight
                assert isinstance(weight, Tensor)
                self._energy[name] = float(to_float64(weight.detach()).square().sum())
            else:
                known = self._calibration.layers.get(name)
                self._energy[name] = 0.0 if known is None else known.output
        return self._energy[name]


class LayerTables:
    """The choices of every layer, and of the whole network, by measure and families."""

    def __init__(self, spectra: Spectra, layers: tuple[Layer, ...]) -> None:
        self._spectra = spectra
        self._layers = layers
        self._options: dict[tuple[str, str, str], ChoiceSet] = {}
        self._tables: dict[tuple[str, tuple[str, ...], str, bool], ParetoTable] = {}
        self._allocators: dict[object, Allocator] = {}
        self._latencies: LatencyTable | None = None

    def time_by(self, latencies: LatencyTable) -> None:
        """Reckon the measure "ms" by these times from now on."""
        self._latencies = latencies
        self._options = {key: o for key, o in self._options.items() if key[2] != "ms"}
        self._tables = {key: table for key, table in self._tables.items() if key[2] != "ms"}
        self._allocators.clear()

    @property
    def rest(self) -> int:
        """Measured nanoseconds of the network that no layer of these explains."""
        if self._latencies is None:
            return 0
        dense = sum(int(self.nanoseconds(layer.name, "dense")) for layer in self._layers)
        return max(0, int(NANO * self._latencies.network) - dense)

    def table(
        self, layer: Layer, families: tuple[str, ...], measure: str, *, dense: bool = False
    ) -> ParetoTable:
        """The non-dominated choices of one layer; `dense` adds the layer as it is."""
        key = (layer.name, families, measure, dense)
        if key not in self._tables:
            able = [self.options(layer, one, measure) for one in families if one in layer.families]
            if not able and not dense:
                raise PlanError(f"{layer.name} cannot be approximated by {' or '.join(families)}.")
            as_it_is = [self._fixed(layer, Dense(), measure)] if dense else []
            self._tables[key] = ParetoTable.of([*as_it_is, *able])
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
        if measure not in (*MEASURES, "ms"):
            raise BudgetError(f"{measure!r} is no measure; expected one of {(*MEASURES, 'ms')}.")
        allowed = tuple(FAMILIES) if families is None else tuple(families)
        if isinstance(families, str) or not set(allowed) <= set(FAMILIES):
            raise BudgetError(
                f"families is {families!r}; expected a collection of names out of "
                f"{tuple(FAMILIES)}."
            )
        key = (measure, allowed, tuple(held.items()), tuple((weights or {}).items()))
        if key not in self._allocators:
            if len(self._allocators) >= 16:  # locks come and go; the tables stay
                self._allocators.clear()
            tables = {
                layer.name: ParetoTable.of([self._fixed(layer, held[layer.name], measure)])
                if layer.name in held
                else self.table(layer, allowed, measure, dense=True)
                for layer in self._layers
            }
            if weights is not None:
                tables = {name: table.weighed(weights[name]) for name, table in tables.items()}
            self._allocators[key] = Allocator(tables)
        return self._allocators[key]

    def _fixed(self, layer: Layer, choice: Choice, measure: str) -> FixedChoice:
        if measure == "ms":
            worth = self.nanoseconds(layer.name, family_of(choice), *ranks_of(choice))
        else:
            worth = np.asarray(getattr(cost(layer, choice), measure))
        error = self._spectra.error(layer.name, choice)
        return FixedChoice(choice, worth.reshape(1), np.array([error]))

    def nanoseconds(self, name: str, one: str, *ranks: Any) -> NDArray[np.int64]:
        """Measured time of a layer in a family, "dense" without ranks."""
        if self._latencies is None:
            raise BudgetError(
                "there are no measured times; call net.measure_latency() first, on the machine "
                "that counts."
            )
        return np.rint(NANO * np.asarray(self._latencies.ms(name, one, *ranks))).astype(np.int64)

    def _worth(
        self, layer: Layer, one: str, measure: str, ranks: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        if measure == "ms":
            return self.nanoseconds(layer.name, one, *ranks.T)
        return np.asarray(getattr(FAMILIES[one].cost(layer, *ranks.T), measure))

    def options(self, layer: Layer, one: str, measure: str) -> ChoiceSet:
        """A layer's choices in a family that no other of them dominates."""
        if not self.known(layer, one, measure):
            method = FAMILIES[one]
            ranks, errors = method.table(self._spectra.get(layer.name, one))
            errors = errors * self._spectra.scale(layer.name, one)
            options = ChoiceSet(method.kind, self._worth(layer, one, measure, ranks), errors, ranks)
            self._options[layer.name, one, measure] = options.undominated()
        return self._options[layer.name, one, measure]

    def known(self, layer: Layer, one: str, measure: str) -> bool:
        """Whether `options` are at hand, from an earlier call or from the cache."""
        key, cache = (layer.name, one, measure), self._spectra.cache
        if key not in self._options and cache is not None and measure in MEASURES:
            parts = cache.get("/".join(key))
            if parts is not None:
                arrays = (parts[part].numpy() for part in ("cost", "error", "ranks"))
                self._options[key] = ChoiceSet(FAMILIES[one].kind, *arrays)
        return key in self._options

    def parts(self, wanted: Collection[tuple[Layer, str]]) -> dict[str, dict[str, Tensor]]:
        """What a cache keeps of these layers' choices, by entry."""
        return {
            f"{layer.name}/{one}/{measure}": {
                part: torch.from_numpy(getattr(self.options(layer, one, measure), part))
                for part in ("cost", "error", "ranks")
            }
            for layer, one in wanted
            for measure in MEASURES
        }
