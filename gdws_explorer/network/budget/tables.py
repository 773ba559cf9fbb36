"""Spectra and tables of choices of a network's layers, computed at their first use.

Spectra and tables depend on the weights, on a calibration and, for the measure "ms", on measured
times only. They are caches whose entries never change, so views of a network share them.
"""

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
from gdws_explorer.network.plans.choices import Choice, Dense, family_of, ranks_of
from gdws_explorer.network.plans.cost import FASTER, cost
from gdws_explorer.network.plans.families import FAMILIES, family_name
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.utils.devices import to_float64

MEASURES = ("macs", "params")  # those that formulas give; "ms" needs measured times
NANO = 1e6  # nanoseconds in a millisecond: budgets of time are whole nanoseconds
ALLOCATORS = 16  # kept per measure


class Spectra:
    """Spectra and errors of a network's layers.

    calibration : where given, errors are squared errors of the layers' outputs, and layers that it
        does not hold have no spectrum; else errors are those of the weights.
    cache : restores spectra that an earlier process decomposed; None decomposes all.
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

    def get(self, name: str, family: str) -> Any:
        """Returns the spectrum of a layer in a family. Raises PlanError."""
        found = self._spectra.get((name, family))
        if found is None:
            method = FAMILIES[family_name(family)]
            reason = self._layers[name].reasons.get(family)
            if reason is not None:
                raise PlanError(f"{name} cannot be approximated by {family}: {reason}.")
            module = self._model.get_submodule(name)
            parts = None if self.cache is None else self.cache.get(f"{name}/{family}")
            moments = None if self._calibration is None else self._calibration[name]
            found = self._spectra[name, family] = (
                method.decompose(module, moments)
                if parts is None
                else method.of_parts(module, parts)
            )
        return found

    def parts(self, jobs: Collection[tuple[Layer, str]]) -> dict[str, dict[str, Tensor]]:
        """Returns the tensors of some layers' spectra in some families, by entry of a cache."""
        return {
            f"{layer.name}/{family}": FAMILIES[family].parts(self.get(layer.name, family))
            for layer, family in jobs
        }

    def error(self, name: str, choice: Choice) -> float:
        """Returns the squared error of a layer under a choice. Raises BudgetError, PlanError."""
        if isinstance(choice, Dense):
            return 0.0
        family = family_of(choice)
        spectrum = self.get(name, family)
        try:
            return FAMILIES[family].error(spectrum, choice) * self.scale(name, family)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}") from None

    def scale(self, name: str, family: str) -> float:
        """Returns the factor of a family's errors; 1 for errors of weights.

        Each family uses another form of the inputs' correlations (GDWS none between channels,
        Tucker-2 and SVD a product), and so computes another energy of the same output. The factor
        makes it the measured energy, so that errors of different families can be compared.
        """
        if self._calibration is None:
            return 1.0
        total = FAMILIES[family].total_energy(self.get(name, family))
        return self.energy(name) / total if total else 1.0

    def energy(self, name: str) -> float:
        """Returns the squared norm of a layer's weight or output: the error of a layer of zeros."""
        if name not in self._energy:
            if self._calibration is None:
                weight = self._model.get_submodule(name).weight
                assert isinstance(weight, Tensor)
                self._energy[name] = float(to_float64(weight.detach()).square().sum())
            else:
                moments = self._calibration.layers.get(name)
                self._energy[name] = 0.0 if moments is None else moments.output
        return self._energy[name]


class MeasureTables:
    """Choices of the layers by one measure of cost, and network-wide allocations of them.

    measure : "macs", "params" or "ms". latencies : the times that "ms" needs. faster : whether to
        leave out choices that take as long as the dense layer by these times, or longer.
    """

    def __init__(
        self,
        measure: str,
        spectra: Spectra,
        layers: tuple[Layer, ...],
        latencies: LatencyTable | None = None,
        faster: bool = False,
    ) -> None:
        self._measure = measure
        self._faster = faster
        self._spectra = spectra
        self._layers = layers
        self._latencies = latencies
        self._choices: dict[tuple[str, str], ChoiceSet] = {}
        self._tables: dict[tuple[str, tuple[str, ...], bool], ParetoTable] = {}
        self._allocators: dict[object, Allocator] = {}

    def choices(self, layer: Layer, family: str) -> ChoiceSet:
        """Returns a layer's choices in a family that no other choice of it dominates."""
        if not self.available(layer, family):
            method = FAMILIES[family]
            ranks, errors = method.table(self._spectra.get(layer.name, family))
            errors = errors * self._spectra.scale(layer.name, family)
            costs = self._costs(layer, family, ranks)
            fast = self._fast(layer, family, ranks)
            costs, errors, ranks = costs[fast], errors[fast], ranks[fast]
            choices = ChoiceSet(method.kind, costs, errors, ranks)
            self._choices[layer.name, family] = choices.undominated()
        return self._choices[layer.name, family]

    def available(self, layer: Layer, family: str) -> bool:
        """Whether `choices` need no computation; reads them from the cache where it has them."""
        key, cache = (layer.name, family), None if self._faster else self._spectra.cache
        if key not in self._choices and cache is not None and self._measure in MEASURES:
            parts = cache.get(self._entry(layer, family))
            if parts is not None:
                arrays = (parts[part].numpy() for part in ("cost", "error", "ranks"))
                self._choices[key] = ChoiceSet(FAMILIES[family].kind, *arrays)
        return key in self._choices

    def parts(self, jobs: Collection[tuple[Layer, str]]) -> dict[str, dict[str, Tensor]]:
        """Returns the tensors of some layers' choices in some families, by entry of a cache."""
        return {
            self._entry(layer, family): {
                part: torch.from_numpy(getattr(self.choices(layer, family), part))
                for part in ("cost", "error", "ranks")
            }
            for layer, family in jobs
        }

    def table(self, layer: Layer, families: tuple[str, ...], *, dense: bool = False) -> ParetoTable:
        """Returns the non-dominated choices of a layer; dense : whether to add the dense layer."""
        key = (layer.name, families, dense)
        if key not in self._tables:
            allowed = layer.families if self._timed(layer.name) else ()
            sets = [self.choices(layer, f) for f in families if f in allowed]
            if not sets and not dense:
                raise PlanError(f"{layer.name} cannot be approximated by {' or '.join(families)}.")
            unchanged = [self._fixed(layer, Dense())] if dense else []
            self._tables[key] = ParetoTable.of([*unchanged, *sets])
        return self._tables[key]

    def allocator(
        self,
        families: tuple[str, ...],
        fixed: Mapping[str, Choice],
        weights: Mapping[str, float] | None = None,
    ) -> Allocator:
        """Returns the network-wide allocation among `families`, with some choices fixed.

        weights : factors of the layers' squared errors, by name; None for ones.
        """
        key = (families, tuple(fixed.items()), tuple((weights or {}).items()))
        if key not in self._allocators:
            if len(self._allocators) >= ALLOCATORS:  # fixed layers change often, tables do not
                self._allocators.clear()
            tables = {
                layer.name: ParetoTable.of([self._fixed(layer, fixed[layer.name])])
                if layer.name in fixed
                else self.table(layer, families, dense=True)
                for layer in self._layers
            }
            if weights is not None:
                tables = {name: table.weighted(weights[name]) for name, table in tables.items()}
            self._allocators[key] = Allocator(tables)
        return self._allocators[key]

    @property
    def stored_allocators(self) -> int:
        """The number of allocators in memory, at most ALLOCATORS."""
        return len(self._allocators)

    @property
    def unexplained(self) -> int:
        """Measured nanoseconds of the network that belong to none of these layers, ≥ 0."""
        if self._latencies is None:
            return 0
        timed = [layer.name for layer in self._layers if self._timed(layer.name)]
        dense = sum(int(self._nanoseconds(name, "dense")) for name in timed)
        return max(0, int(NANO * self._latencies.network) - dense)

    def _timed(self, name: str) -> bool:
        """Whether the cost of a layer is known by this measure; for "ms" it has to be measured."""
        return self._measure != "ms" or self._latencies is None or name in self._latencies.layers

    def _entry(self, layer: Layer, family: str) -> str:
        return f"{layer.name}/{family}/{self._measure}"

    def _fixed(self, layer: Layer, choice: Choice) -> FixedChoice:
        if self._measure == "ms" and choice == Dense() and not self._timed(layer.name):
            costs = np.zeros((), np.int64)  # a part of `unexplained`
        elif self._measure == "ms":
            costs = self._nanoseconds(layer.name, family_of(choice), *ranks_of(choice))
        else:
            costs = np.asarray(getattr(cost(layer, choice), self._measure))
        error = self._spectra.error(layer.name, choice)
        return FixedChoice(choice, costs.reshape(1), np.array([error]))

    def _costs(self, layer: Layer, family: str, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the costs `(n,)` of ranks `(n, k)`."""
        if self._measure == "ms":
            return self._nanoseconds(layer.name, family, *ranks.T)
        return np.asarray(getattr(FAMILIES[family].cost(layer, *ranks.T), self._measure))

    def _fast(
        self, layer: Layer, family: str, ranks: NDArray[np.int64]
    ) -> slice | NDArray[np.bool_]:
        """Returns which ranks `(n, k)` are allowed, as an index."""
        times = self._latencies
        if not self._faster or times is None or family not in times.families(layer.name):
            return slice(None)
        limit = FASTER * times.ms(layer.name, "dense")
        found: NDArray[np.bool_] = times.ms(layer.name, family, *ranks.T) < limit
        return found

    def _nanoseconds(self, name: str, family: str, *ranks: Any) -> NDArray[np.int64]:
        """Returns the measured time of a layer in a family; "dense" has no ranks."""
        if self._latencies is None:
            raise BudgetError(
                "there are no measured times; call net.measure_latency() first, on the machine "
                "that counts."
            )
        return np.rint(NANO * np.asarray(self._latencies.ms(name, family, *ranks))).astype(np.int64)


class LayerTables:
    """The tables of a network's layers for every measure.

    latencies : the times that "ms" uses; None where nothing was measured.
    """

    def __init__(
        self,
        spectra: Spectra,
        layers: tuple[Layer, ...],
        latencies: LatencyTable | None = None,
    ) -> None:
        self._spectra = spectra
        self._layers = layers
        self.latencies = latencies
        names = (*MEASURES, "ms")
        self._by_measure = {m: MeasureTables(m, spectra, layers, latencies) for m in names}
        self._faster: dict[str, MeasureTables] = {}

    def timed_by(self, latencies: LatencyTable | None) -> LayerTables:
        """Returns tables whose "ms" uses other times; all else is shared with these tables."""
        other = LayerTables(self._spectra, self._layers, latencies)
        other._by_measure |= {measure: self._by_measure[measure] for measure in MEASURES}
        return other

    def faster(self, measure: str) -> MeasureTables:
        """Returns the tables of a measure without choices that are slower than dense.

        The same as `self[measure]` where no times were measured.
        """
        if self.latencies is None or measure == "ms":
            return self[measure]
        if measure not in self._faster:
            self._faster[measure] = MeasureTables(
                measure, self._spectra, self._layers, self.latencies, faster=True
            )
        return self._faster[measure]

    def __getitem__(self, measure: str) -> MeasureTables:
        """The tables of a measure. Raises BudgetError."""
        try:
            return self._by_measure[measure]
        except KeyError:
            raise BudgetError(
                f"unknown measure {measure!r}; expected one of {', '.join(self._by_measure)}."
            ) from None

    def parts(self, jobs: Collection[tuple[Layer, str]]) -> dict[str, dict[str, Tensor]]:
        """Returns the tensors of all choices by formula, by entry of a cache."""
        found: dict[str, dict[str, Tensor]] = {}
        for measure in MEASURES:
            found |= self._by_measure[measure].parts(jobs)
        return found
