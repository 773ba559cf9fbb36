"""Milliseconds of a network's layers, measured at some ranks and interpolated between them.

`measure_layers` gives a `LatencyTable`.
"""

from gdws_explorer.network.latency.benchmark import measure_layers
from gdws_explorer.network.latency.latency import LatencyCurve, LatencyTable

__all__ = ["LatencyCurve", "LatencyTable", "measure_layers"]
