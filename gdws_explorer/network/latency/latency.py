"""Milliseconds of a network's layers under every choice, from a measured grid of ranks.

MACs do not determine time: three small layers can be slower than one large one. So
`measure_layers` runs every layer, dense and factorised, at a few ranks, and the times between them
are interpolated here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdws_explorer.errors import BudgetError, DataError, PlanError
from gdws_explorer.network.plans.choices import Choice, Dense, family_of, ranks_of
from gdws_explorer.network.plans.cost import FASTER
from gdws_explorer.network.plans.families import FamilyLike, family_name
from gdws_explorer.typing import FloatArray, IntArray
from gdws_explorer.utils import files

SCHEMA = 2  # files of 1 have no runtime, which was torch
RUNTIMES = {"torch": "torch", "onnxruntime": "ONNX Runtime"}  # with their names for people
NOISE = 0.1  # relative spread, or time of other programs, from which a measurement is noisy
Ms = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rank = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class LatencyCurve:
    """Milliseconds over a grid of ranks, one axis for every rank of the family.

    ranks : rising, along each axis. ms : at every point of the grid, the last axis fastest; never
    falling along an axis. step : ranks are rounded up to a multiple of it, because processors work
    on blocks of channels: with AVX-512 (16 channels) rank 17 takes as long as 32, which is up to
    twice as long as 16.
    """

    ranks: tuple[tuple[Rank, ...], ...]
    ms: tuple[Ms, ...]
    step: Rank = 1

    def __post_init__(self) -> None:
        if not self.ranks or not all(axis and _rising(axis) for axis in self.ranks):
            raise ValueError("the ranks do not rise along each axis")
        if len(self.ms) != math.prod(map(len, self.ranks)):
            raise ValueError(
                f"there are {len(self.ms)} times for the ranks {self.ranks}; expected "
                f"{math.prod(map(len, self.ranks))}"
            )

    def __call__(self, *ranks: ArrayLike) -> Any:
        """Returns the ms of ranks, a float, or of arrays of ranks, an array: piecewise linear.

        Below the grid the time is that of the smallest rank; beyond it the last slope of every
        axis continues.
        """
        rounded = [self._up(np.asarray(r), a) for r, a in zip(ranks, self._axes, strict=True)]
        given = np.broadcast_arrays(*rounded)
        inside = [np.clip(r, a[0], a[-1]) for r, a in zip(given, self._axes, strict=True)]
        found = self._within(inside)
        for k, axis in enumerate(self._axes):
            # At the other axes' ends: a slope that changed along them could make more faster.
            edge = self._grid[tuple(slice(None) if j == k else -1 for j in range(len(rounded)))]
            if len(axis) > 1:
                slope = (edge[-1] - edge[-2]) / (axis[-1] - axis[-2])
                found = found + slope * np.maximum(given[k] - axis[-1], 0)
        return found if found.ndim else float(found)

    def _up(self, ranks: FloatArray | IntArray, axis: FloatArray) -> FloatArray:
        """Returns ranks rounded up to whole steps, but not past an end of the grid."""
        up = self.step * np.ceil(ranks / self.step)
        up = np.where(ranks <= axis[-1], np.minimum(up, axis[-1]), up)
        return np.asarray(np.where(ranks <= axis[0], axis[0], up), np.float64)

    def _within(self, ranks: Sequence[FloatArray]) -> Any:
        """Interpolates between the corners of the grid's cell that holds the ranks."""
        corners = [_between(r, a) for r, a in zip(ranks, self._axes, strict=True)]
        found: Any = 0.0
        for places in np.ndindex(*[2] * len(corners)):
            chosen = [corner[place] for corner, place in zip(corners, places, strict=True)]
            share = math.prod(weight for _, weight in chosen)
            found = found + share * self._grid[tuple(index for index, _ in chosen)]
        return np.asarray(found)

    @cached_property
    def _axes(self) -> list[FloatArray]:
        return [np.asarray(axis, np.float64) for axis in self.ranks]

    @cached_property
    def _grid(self) -> FloatArray:
        return np.asarray(self.ms).reshape([len(axis) for axis in self.ranks])


@dataclass(frozen=True)
class LayerTimes:
    """Milliseconds of one layer, over all its calls: dense, and by family."""

    dense: Ms
    families: Mapping[str, LatencyCurve]


@dataclass(frozen=True)
class Spread:
    """Quartiles of the dense network's times in ms, and the number of runs."""

    low: Ms
    high: Ms
    runs: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class LatencyTable:
    """Measured milliseconds of a network's layers on one machine.

    batch : images at once; every time is for one batch. threads : of torch.
    device : such as "cpu" or "cuda:0".
    machine : "processor", "system", "python" and "torch". fingerprint : the network's.
    network : ms of the whole dense network, median. spread : of its runs. layers : by name.
    runtime : such as "onnxruntime". processor_share : the share of the time that the processor
    computed for the measurement; None where it is not known.
    """

    batch: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    device: str
    machine: Mapping[str, str]
    fingerprint: str
    network: Ms
    spread: Spread
    layers: Mapping[str, LayerTimes]
    runtime: str = "torch"
    processor_share: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def noisy(self) -> bool:
        """Whether other programs disturbed the measurement: measure again on a quiet machine."""
        share = self.processor_share
        wide = self.spread.high - self.spread.low > NOISE * self.network
        return wide or (share is not None and self.threads == 1 and share < 1 - NOISE)

    def ms(self, name: str, family: FamilyLike, *ranks: ArrayLike) -> Any:
        """Returns the ms of a layer in a family at ranks, or at arrays of ranks.

        family : "dense", without ranks, or a family's name or class of choices. Raises PlanError
        for a layer or family that was not measured, BudgetError for too many or too few ranks.
        """
        family = family if family == "dense" else family_name(family)
        if name not in self.layers:
            raise PlanError(f"{name!r} was not measured; expected one of {', '.join(self.layers)}.")
        layer = self.layers[name]
        if family != "dense" and family not in layer.families:
            raise PlanError(
                f"{name} was not measured as {family!r}; expected one of dense, "
                f"{', '.join(layer.families)}: measure again with the families that you need."
            )
        expected = 0 if family == "dense" else len(layer.families[family].ranks)
        if len(ranks) != expected:
            raise BudgetError(f"{name}: {len(ranks)} ranks for {family}; expected {expected}.")
        return layer.dense if family == "dense" else layer.families[family](*ranks)

    def families(self, name: str) -> tuple[str, ...]:
        """Returns the measured families of a layer, none for a layer that was not measured."""
        return tuple(self.layers[name].families) if name in self.layers else ()

    def layer_ms(self, name: str, choice: Choice) -> float:
        """Returns the ms of a layer under a choice.

        Raises PlanError for a layer or family that was not measured.
        """
        return float(self.ms(name, family_of(choice), *ranks_of(choice)))

    def slower_from(self, name: str, family: FamilyLike) -> int | None:
        """Returns the least rank at which a layer takes as long as the dense one, or longer.

        None for a family of two ranks, and where no rank within the measured grid does.
        """
        self.ms(name, "dense")  # raises where the layer was not measured
        return self._slower.get((name, family_name(family)))

    @cached_property
    def _slower(self) -> dict[tuple[str, str], int]:
        """The results of `slower_from`, by layer and family."""
        found = {}
        for name, layer in self.layers.items():
            for family, curve in layer.families.items():
                if len(curve.ranks) == 1:
                    ranks = np.arange(1, curve.ranks[0][-1] + 1)
                    slow = np.flatnonzero(curve(ranks) >= FASTER * layer.dense)
                    if len(slow):
                        found[name, family] = int(ranks[slow[0]])
        return found

    def total(self, choices: Iterable[tuple[str, Choice]]) -> float:
        """Returns the ms of the whole network under (name, choice) pairs, such as a plan."""
        changed = [(name, choice) for name, choice in choices if choice != Dense()]
        saved = sum(
            self.ms(name, "dense") - self.layer_ms(name, choice) for name, choice in changed
        )
        return float(self.dense - saved)

    @cached_property
    def dense(self) -> float:
        """The ms of the dense network: those of its layers, and the rest."""
        return float(self.rest + sum(layer.dense for layer in self.layers.values()))

    @cached_property
    def rest(self) -> float:
        """The ms that no plan can change: those outside of the measured layers, ≥ 0."""
        return max(0.0, self.network - sum(layer.dense for layer in self.layers.values()))

    @property
    def slack(self) -> float:
        """The ms by which `total` may differ from a budget's sum of layers in whole nanoseconds."""
        return 1e-6 * (len(self.layers) + 2)

    @property
    def label(self) -> str:
        """Runtime, settings, machine and spread in one sentence; it says where they are noisy."""
        runtime = RUNTIMES.get(self.runtime, self.runtime)
        text = (
            f"{runtime}, batch {self.batch}, {self.threads} thread(s), "
            f"{self.machine.get('processor', self.device)}: dense {self.network:.3g} ms (quartiles "
            f"{self.spread.low:.3g} to {self.spread.high:.3g})"
        )
        if self.noisy:
            text += "; other programs disturbed the measurement: measure again on a quiet machine"
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, atomically."""
        text = json.dumps({"schema": SCHEMA, "latencies": asdict(self)}, indent=1)
        files.write_text(path, text + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LatencyTable:
        """Reads a file of `save`. Raises DataError with the reason if it is damaged."""
        try:
            return _File.model_validate_json(Path(path).read_bytes()).latencies
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "top level"
            reason = f"{place}: {first['msg']}"
        except OSError as error:
            reason = str(error)
        raise DataError(f"{path} cannot be read as latencies ({reason}); measure again.")


class _File(BaseModel):
    """Schema of the JSON file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    schema_: Literal[1, 2] = Field(alias="schema")
    latencies: LatencyTable


def _rising(axis: Sequence[int]) -> bool:
    """Whether every rank is larger than the one before it."""
    return all(a < b for a, b in pairwise(axis))


def _between(ranks: FloatArray, axis: FloatArray) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Returns the positions on an axis below and above the ranks, each with its weight."""
    low = np.clip(np.searchsorted(axis, ranks, side="right") - 1, 0, max(0, len(axis) - 2))
    high = np.minimum(low + 1, len(axis) - 1)
    share = (ranks - axis[low]) / np.maximum(axis[high] - axis[low], 1)
    return (low, 1 - share), (high, share)
