"""Times of the nodes of an ONNX graph, by the profiler of ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdws_explorer.errors import ModelError
from gdws_explorer.network.latency.onnx_graph import ExchangedGraph
from gdws_explorer.typing import FloatArray
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.onnx_export import INPUT, inference_session

BLOCKED = "_nchwc"  # ends the name of a node in ONNX Runtime's own layout
BLOCK = 4  # runs in a row; the first one, whose cache is cold, does not count


class NodeTime(NamedTuple):
    """The ms of one node in one run; layer : whose node it is, None for all others."""

    layer: str | None
    ms: float


def session_of(model: bytes, threads: int, profile: Path | None = None) -> Any:
    """Returns a session of a serialised model, as `inference_session`. Raises ModelError."""
    try:
        return inference_session(model, threads, profile)
    except Exception as error:
        raise ModelError(
            f'ONNX Runtime refuses the network ({first_line(error)}); measure with runtime="torch".'
        ) from error


class GraphTimer:
    """Runs one graph and times its nodes.

    graph : with the names of the layers' nodes. images : `(N, C, H, W)`, float. threads : of ONNX
    Runtime. A context manager; `node_times` ends it.
    """

    def __init__(self, graph: ExchangedGraph, images: FloatArray, threads: int) -> None:
        self._graph = graph
        self._folder = tempfile.TemporaryDirectory()
        self._images = {INPUT: images}
        self._session = session_of(graph.model, threads, Path(self._folder.name) / "profile")
        self.runs = 0

    def __enter__(self) -> GraphTimer:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self) -> None:
        """Runs the graph once; `runs` counts them."""
        self._session.run(None, self._images)
        self.runs += 1

    def node_times(self) -> list[list[NodeTime]]:
        """Returns the times of every run so far, node by node in the order of execution.

        The conversion of a memory layout belongs to the layer of the next node.
        """
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        events.sort(key=lambda event: event["ts"])
        runs: list[list[tuple[str, float]]] = []
        for event in events:
            if event["name"] == "model_run":
                runs.append([])
            elif event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
                name = event["name"].removesuffix("_kernel_time")
                runs[-1].append((name, event["dur"] / 1e3))
        owners = self._owners([name for name, _ in runs[0]]) if runs else []
        return [
            [NodeTime(owner, ms) for owner, (_, ms) in zip(owners, run, strict=True)]
            for run in runs
        ]

    def _owners(self, executed: list[str]) -> list[str | None]:
        """Returns the layer of every executed node."""
        bare = [name.removesuffix(BLOCKED) for name in executed]
        found: list[str | None] = [self._graph.others.get(name) for name in executed]
        places = {name: k for k, name in enumerate(bare)}
        waiting = list(self._graph.products)
        # A sum of two branches is computed with one of the two products; the one with a name of
        # its own is found first, and the other one gets what remains.
        for length in range(max((len(names) for _, names in waiting), default=0)):
            for layer, names in list(waiting):
                name = names[length] if length < len(names) else None
                place = None if name is None else places.get(name)
                if place is not None and found[place] is None:
                    found[place] = layer
                    waiting.remove((layer, names))
        following: str | None = None
        for k in reversed(range(len(executed))):
            if executed[k].startswith(("ReorderInput", "ReorderOutput")):
                found[k] = following
            else:
                following = found[k]
        return found


def plain_ms(session: Any, images: FloatArray, runs: int) -> tuple[FloatArray, float]:
    """Returns the ms of some runs, and the processor's share of the time that passed.

    The share is 1 with one thread on a quiet machine, and less where other programs compute.
    """
    times = np.empty(runs)
    began, used = time.perf_counter(), time.process_time()
    for k in range(runs):
        start = time.perf_counter()
        session.run(None, {INPUT: images})
        times[k] = 1e3 * (time.perf_counter() - start)
    passed = time.perf_counter() - began
    return times, (time.process_time() - used) / passed


def warm_runs(runs: Sequence[list[NodeTime]]) -> list[list[NodeTime]]:
    """Returns the runs without the first one of every block."""
    return [run for k, run in enumerate(runs) if k % BLOCK]


def layer_ms(runs: Sequence[list[NodeTime]], name: str, overhead: float = 0.0) -> float:
    """Returns the ms of a layer's nodes; overhead : of every node, in addition to its own time."""
    rows = [[node.ms for node in run if node.layer == name] for run in runs]
    ms = middle_mean([sum(row) for row in rows])
    return max(1e-6, ms / 10, ms + overhead * len(rows[0]))


def middle_mean(values: Sequence[float]) -> float:
    """Returns the mean of the middle half: as robust as the median, and finer than the clock."""
    ordered = np.sort(np.asarray(values))
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


class TimedGraph(NamedTuple):
    """The times of one graph.

    runs : of its nodes. whole : ms of the whole graph without the profiler. turns : which runs of
    the dense graph were in turns with it.
    """

    runs: list[list[NodeTime]]
    whole: float
    turns: slice


class TurnTimer:
    """Times graphs in turns with a dense one, so that drift of the machine can be taken out.

    dense : the graph without factorised layers. images, threads : as in GraphTimer. A context
    manager; `corrections` ends it.
    """

    def __init__(self, dense: ExchangedGraph, images: FloatArray, threads: int) -> None:
        self._images, self._threads = images, threads
        self._dense = GraphTimer(dense, images, threads)
        self._plain = session_of(dense.model, threads)
        self.plain_ms: list[float] = []  # of the dense graph, without the profiler
        self.shares: list[float] = []  # of the processor in these runs

    def __enter__(self) -> TurnTimer:
        return self

    def __exit__(self, *_: object) -> None:
        self._dense.__exit__()

    def dense_ms(self) -> float:
        """Runs the dense graph without the profiler; returns the median of one block."""
        times, share = plain_ms(self._plain, self._images, BLOCK)
        self.plain_ms += times[1:].tolist()
        self.shares.append(share)
        return float(np.median(times[1:]))

    def time(self, graph: ExchangedGraph, rounds: int) -> TimedGraph:
        """Returns the times of a graph: blocks of the dense graph, of this one, and of it plain."""
        first, whole = self._dense.runs, []
        plain = session_of(graph.model, self._threads)
        with GraphTimer(graph, self._images, self._threads) as timer:
            for _ in range(rounds):
                for each in (self._dense, timer):
                    for _ in range(BLOCK):
                        each.run()
                whole += plain_ms(plain, self._images, BLOCK)[0][1:].tolist()
            runs = timer.node_times()
        self.dense_ms()
        return TimedGraph(runs, middle_mean(whole), slice(first, self._dense.runs))

    def corrections(self, timed: Sequence[TimedGraph]) -> Corrections:
        """Returns what corrects the times of these graphs."""
        rows = self._dense.node_times()
        counted = rows[timed[0].turns.start :]
        total = total_ms(counted)
        graphs = [(len(each.runs[0]), total_ms(each.runs), each.whole) for each in timed]
        median = float(np.median(self.plain_ms))
        overhead = node_overhead([(len(rows[0]), total, median), *graphs])
        drifts = [total / total_ms(rows[each.turns]) for each in timed]
        return Corrections(warm_runs(counted), overhead, drifts)


class Corrections(NamedTuple):
    """Corrections of the profiled times of graphs that were timed in turns with a dense one.

    dense : the warm runs of the dense graph. overhead : the ms per node by which the profiler's
    times are too small; negative: too large. drifts : a factor for every graph.
    """

    dense: list[list[NodeTime]]
    overhead: float
    drifts: list[float]


def node_overhead(graphs: Sequence[tuple[int, float, float]]) -> float:
    """Returns the ms per node by which the profiler's times are too small; negative: too large.

    The profiler empties caches between the nodes, which makes small nodes slower. Graphs have
    different numbers of nodes; this is the number that fits all of them best (least squares).

    graphs : the number of nodes, their ms in all, and the ms of the graph without the profiler.
    """
    counts = np.array([nodes for nodes, _, _ in graphs], np.float64)
    differences = np.array([whole - total for _, total, whole in graphs])
    return float(counts @ differences / (counts @ counts))


def total_ms(runs: Sequence[list[NodeTime]]) -> float:
    """Returns the ms of all nodes of a graph."""
    return middle_mean([sum(node.ms for node in run) for run in warm_runs(runs)])
