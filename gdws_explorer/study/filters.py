"""Filters over records: bounds and brushed ranges of metrics, and histograms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gdws_explorer.errors import DataError
from gdws_explorer.study.records import Record
from gdws_explorer.typing import FloatArray

BINS = 24


class Metric(NamedTuple):
    """A number of every record. log : whether its values span orders of magnitude."""

    label: str
    value: Callable[[Record], float | None]
    per_cent: bool = False
    log: bool = False


METRICS = {
    "robust": Metric("robust accuracy (%)", lambda r: r.robust, per_cent=True),
    "clean": Metric("clean accuracy (%)", lambda r: r.clean, per_cent=True),
    "macs": Metric("MACs per image", lambda r: r.macs),
    "params": Metric("parameters", lambda r: r.params),
    "relative_error": Metric("relative error", lambda r: r.relative_error, log=True),
    "seconds": Metric("seconds to measure", lambda r: r.seconds),
}


def metric(name: str) -> Metric:
    """Returns a metric by its name; DataError for an unknown name."""
    try:
        return METRICS[name]
    except KeyError:
        raise DataError(f"unknown metric {name!r}; expected one of {tuple(METRICS)}.") from None


@dataclass(frozen=True)
class Range:
    """The values of a metric from low to high, both included, kept or excluded.

    Accuracies are fractions. A record without the metric is in no range. Raises DataError where
    the range is empty or the metric unknown.
    """

    metric: str
    low: float = -math.inf
    high: float = math.inf
    keep: bool = True

    def __post_init__(self) -> None:
        metric(self.metric)
        if not self.low <= self.high:
            raise DataError(
                f"the range of {self.metric} is {self.low:g} to {self.high:g}; expected the "
                "smaller number first."
            )

    def holds(self, record: Record) -> bool:
        """Whether the record passes."""
        value = METRICS[self.metric].value(record)
        return self.keep == (value is not None and self.low <= value <= self.high)

    def __str__(self) -> str:
        name = self.metric.replace("_", " ")
        low, high = value_text(self.metric, self.low), value_text(self.metric, self.high)
        if math.isinf(self.high):
            return f"{name} {'≥' if self.keep else '<'} {low}"
        if math.isinf(self.low):
            return f"{name} {'≤' if self.keep else '>'} {high}"
        return f"{name} {'in' if self.keep else 'not in'} {low} to {high}"


@dataclass(frozen=True)
class Filters:
    """Conditions on records; a record that fails one is shown grey.

    bounds : one range per metric. brushes : ranges that were selected on histograms, one after the
    other.
    """

    bounds: tuple[Range, ...] = ()
    brushes: tuple[Range, ...] = ()

    def bound(self, name: str, low: float | None = None, high: float | None = None) -> Filters:
        """Returns filters with this bound on a metric; both None remove its bound."""
        others = tuple(bound for bound in self.bounds if bound.metric != name)
        if low is None and high is None:
            return replace(self, bounds=others)
        least, most = -math.inf if low is None else low, math.inf if high is None else high
        return replace(self, bounds=(*others, Range(name, least, most)))

    def with_share(self, name: str, share: float | None, dense_macs: int) -> Filters:
        """Returns filters with a bound that is a fraction; None removes the bound.

        name : "macs" for at most this fraction of `dense_macs`, or an accuracy for at least it.
        """
        if share is None:
            return self.bound(name)
        if name == "macs":
            return self.bound(name, high=share * dense_macs)
        return self.bound(name, low=share)

    def share(self, name: str, dense_macs: int) -> float | None:
        """Returns the fraction of a bound that `with_share` sets; None without a bound."""
        found = next((each for each in self.bounds if each.metric == name), None)
        if found is None:
            return None
        fraction = found.high / dense_macs if name == "macs" else found.low
        return None if math.isinf(fraction) else fraction

    def brush(self, selected: Range) -> Filters:
        """Returns filters with one more brushed range."""
        return replace(self, brushes=(*self.brushes, selected))

    def broken(self, record: Record) -> Range | None:
        """Returns the first condition that a record fails; None where it passes all."""
        return next((r for r in (*self.bounds, *self.brushes) if not r.holds(record)), None)

    def kept(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Returns the records that pass all conditions."""
        return tuple(record for record in records if self.broken(record) is None)

    def __str__(self) -> str:
        return ", ".join(map(str, (*self.bounds, *self.brushes)))


class Histogram(NamedTuple):
    """Counts of records by the values of a metric.

    edges : `(bins + 1,)`, in the metric's own unit. kept, out : counts `(bins,)` of the records
    that pass the filters, and of the others.
    """

    metric: str
    edges: FloatArray
    kept: FloatArray
    out: FloatArray

    def range(self, first: int, last: int, keep: bool = True) -> Range:
        """Returns the range of the bins from `first` to before `last`."""
        low, high = float(self.edges[first]), float(self.edges[last])
        if last < len(self.kept):  # a value on an edge belongs to the bin above it
            high = float(np.nextafter(high, low))
        return Range(self.metric, low, high, keep)

    def held(self, first: int, last: int) -> int:
        """Returns the number of records in the bins from `first` to before `last`."""
        return int((self.kept + self.out)[first:last].sum())


def histogram(
    records: Sequence[Record], name: str, filters: Filters, bins: int = BINS
) -> Histogram:
    """Counts the records by a metric, in bins of equal width (of the logarithm where `log`).

    Records without the metric are left out.
    """
    chosen = metric(name)
    pairs = [(chosen.value(r), filters.broken(r) is None) for r in records]
    values = np.array([v for v, _ in pairs if v is not None], dtype=np.float64)
    stays = np.array([stay for v, stay in pairs if v is not None], dtype=bool)
    edges = _edges(values, bins, chosen.log)
    kept, _ = np.histogram(values[stays], edges)
    out, _ = np.histogram(values[~stays], edges)
    return Histogram(name, edges, kept.astype(np.float64), out.astype(np.float64))


def _edges(values: FloatArray, bins: int, log: bool) -> FloatArray:
    if not len(values):
        return np.linspace(0.0, 1.0, bins + 1)
    low, high = float(values.min()), float(values.max())
    if log and high > 0:
        low = float(values[values > 0].min())
        if low < high:
            edges = np.geomspace(low, high, bins + 1)
            # The exact ends, without the rounding of powers; a plan without any error is below.
            edges[0], edges[-1] = min(float(values.min()), low), high
            return edges
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    return np.linspace(low, high, bins + 1)


def value_text(name: str, value: float) -> str:
    """Returns a value as text: `45 %`, `1.2 M`, `0.0034`."""
    if METRICS[name].per_cent:
        return f"{100 * value:.3g} %"
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if abs(value) >= size and not math.isinf(value):
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
