"""Times a network and its layers in ONNX Runtime, each layer in its place in the network.

All layers of a family are factorised at once, at one point of their grids of ranks, and the
profiler of ONNX Runtime tells the time of every node. So each layer is timed between its
neighbours, with BatchNorm and activation folded and in the runtime's own memory layout.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.factorize.equal_forms import Form, padded, with_selection
from gdws_explorer.network.latency.benchmark import (
    Grid,
    family_grid,
    machine_of,
    random_layer,
)
from gdws_explorer.network.latency.latency import (
    LatencyCurve,
    LatencyTable,
    LayerTimes,
    Spread,
)
from gdws_explorer.network.latency.onnx_graph import OnnxGraph
from gdws_explorer.network.latency.onnxruntime_profile import (
    BLOCK,
    Corrections,
    TimedGraph,
    TurnTimer,
    layer_ms,
    middle_mean,
    warm_runs,
)
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.typing import Cancel, FloatArray, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.threads import torch_threads

SECONDS = 20.0  # of timed runs, about, for the whole table
ROUNDS = (3, 12)  # blocks of every graph, between blocks of the dense one
STEPS = (1, 4, 8, 16)  # numbers of channels that a runtime may like multiples of
BASE = 32  # channels that a step is added to, to find out
TOLERANCE = 1.05  # of times per channel that count as equal


class Variant(NamedTuple):
    """One point of the grids of all layers of a family.

    form : of the layers. ranks : by the layer's name.
    """

    family: str
    form: Form
    ranks: dict[str, tuple[int, ...]]


def measure_with_onnxruntime(
    model: nn.Module,
    example: Tensor,
    layers: Sequence[Layer],
    fingerprint: str,
    *,
    batch: int,
    threads: int,
    families: Collection[str],
    points: int = 6,
    pairs: int = 4,
    step: int | None = None,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> LatencyTable:
    """Times a network and its layers with ONNX Runtime on the CPU.

    Parameters
    ----------
    model, example, layers, fingerprint : of the dense network, float32; example `(1, C, H, W)`.
    batch : images at once. threads : of ONNX Runtime. families : names. points : ranks per family;
    pairs : ranks per axis of Tucker-2. step : channels that the runtime works on at once; None to
    find it by measuring. progress : called with the finished fraction. cancel : checked before
    every graph.

    Raises
    ------
    ModelError, ExplorerError : ONNX Runtime or the export to ONNX refuses the network.
    Cancelled : on request.

    Notes
    -----
    A time is that of the fastest of the forms of `equal_forms`, of which one is dense. So no layer
    takes longer than the dense one; from the rank on where it takes as long, it is slower in every
    other form. `gx.export(…, runtime="onnxruntime")` writes these forms.
    """
    with torch_threads(1), exclusive_rng(torch.device("cpu")):
        return _Measurement(
            model, example, layers, batch=batch, threads=threads, families=families
        ).table(fingerprint, points, pairs, step, progress, cancel)


class _Measurement:
    """One measurement of a network: the dense graph, and runs of other graphs in turns with it."""

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        layers: Sequence[Layer],
        *,
        batch: int,
        threads: int,
        families: Collection[str],
    ) -> None:
        self._model = own_copy(model).cpu().eval()
        example = example.detach().cpu()
        self._graph = OnnxGraph(self._model, example, [x.name for x in layers if x.families])
        self._layers = [x for x in layers if x.families and x.name in self._graph.names]
        self._images = torch.cat([example] * batch).numpy()
        self._batch, self._threads, self._families = batch, threads, families

    def table(
        self,
        fingerprint: str,
        points: int,
        pairs: int,
        step: int | None,
        progress: ProgressFn | None,
        cancel: Cancel,
    ) -> LatencyTable:
        """Measures everything; the arguments are those of `measure_with_onnxruntime`."""
        found: list[TimedGraph] = []
        with TurnTimer(self._graph.exchanged({}), self._images, self._threads) as timer:
            steps = {family: step or self._step(family, timer) for family in self._families}
            variants = list(self._variants(steps, points, pairs))
            per_round = 4 * BLOCK * timer.dense_ms() / 1e3 * len(variants)
            rounds = int(np.clip(SECONDS / per_round, *ROUNDS))
            for k, variant in enumerate(variants):
                stop_if(cancel)
                made = self._made(variant, steps[variant.family])
                found.append(timer.time(self._graph.exchanged(made), rounds))
                report(progress, (k + 1) / len(variants))
            corrections = timer.corrections(found)
        low, median, high = np.quantile(timer.plain_ms, [0.25, 0.5, 0.75]).tolist()
        machine = machine_of(torch.device("cpu"), "onnxruntime")
        return LatencyTable(
            self._batch, self._threads, "cpu", machine, fingerprint, median,
            Spread(low, high, len(timer.plain_ms)),
            self._layer_times(variants, found, corrections, steps),
            "onnxruntime", float(np.median(timer.shares)),
        )  # fmt: skip

    def _layer_times(
        self,
        variants: Sequence[Variant],
        found: Sequence[TimedGraph],
        corrections: Corrections,
        steps: Mapping[str, int],
    ) -> dict[str, LayerTimes]:
        """Returns the times of all layers from those of the variants."""
        overhead = corrections.overhead
        dense = {x.name: layer_ms(corrections.dense, x.name, overhead) for x in self._layers}
        curves: dict[str, dict[str, dict[tuple[int, ...], float]]] = {name: {} for name in dense}
        for variant, timed, drift in zip(variants, found, corrections.drifts, strict=True):
            runs = warm_runs(timed.runs)
            for name, ranks in variant.ranks.items():
                known = curves[name].setdefault(variant.family, {})
                # The dense form of the layer has equal outputs too.
                least = known.get(ranks, dense[name])
                known[ranks] = min(layer_ms(runs, name, overhead) * drift, least)
        return {
            name: LayerTimes(
                dense[name], {family: _curve(ms, steps[family]) for family, ms in each.items()}
            )
            for name, each in curves.items()
        }

    def _variants(self, steps: Mapping[str, int], points: int, pairs: int) -> Iterator[Variant]:
        """Yields every point of the grids; layers with fewer points are dense in the last ones."""
        for family in self._families:
            grids: dict[str, list[tuple[int, ...]]] = {}
            for layer in self._layers:
                if family in layer.families:
                    grid = _multiples(family_grid(layer, family, points, pairs, steps[family]))
                    grids[layer.name] = list(itertools.product(*grid))
            for row in itertools.zip_longest(*grids.values()):
                ranks = {name: r for name, r in zip(grids, row, strict=True) if r is not None}
                yield Variant(family, padded, ranks)
                if family == "gdws":
                    yield Variant(family, with_selection, ranks)

    def _made(self, variant: Variant, step: int) -> dict[str, nn.Module]:
        """Returns the factorised layers of a variant, with random weights."""
        made = {}
        for name, ranks in variant.ranks.items():
            module = random_layer(self._model.get_submodule(name), variant.family, ranks)
            made[name] = variant.form(module, step) or module
        return made

    def _step(self, family: str, timer: TurnTimer) -> int:
        """Returns the least number of channels whose multiples are fast in a family."""
        names = [layer.name for layer in self._layers if family in layer.families]
        found = []
        for step in STEPS:
            rank = BASE + step
            ranks = (rank,) * len(FAMILIES[family].ranks)
            made = {n: random_layer(self._model.get_submodule(n), family, ranks) for n in names}
            found.append(timer.time(self._graph.exchanged(made), ROUNDS[0]).runs)
        times = [
            middle_mean([sum(node.ms for node in run if node.layer in names) for run in runs])
            / (BASE + step)
            for step, runs in zip(STEPS, map(warm_runs, found), strict=True)
        ]
        return next(s for s, t in zip(STEPS, times, strict=True) if t <= TOLERANCE * min(times))


def _multiples(grid: Grid) -> Grid:
    """Returns a grid without rank 1 where it has others, which take as long as a whole step."""
    return tuple(axis[1:] if axis[0] == 1 and len(axis) > 1 else axis for axis in grid)


def _curve(times: Mapping[tuple[int, ...], float], step: int) -> LatencyCurve:
    """Returns the curve through times at all points of a grid."""
    axes = tuple(tuple(sorted(set(axis))) for axis in zip(*times, strict=True))
    ms: FloatArray = np.asarray([times[point] for point in itertools.product(*axes)])
    ms = ms.reshape([len(axis) for axis in axes])
    for axis in range(len(axes)):
        ms = np.maximum.accumulate(ms, axis)  # more ranks are never faster
    return LatencyCurve(axes, tuple(ms.ravel().tolist()), step)
