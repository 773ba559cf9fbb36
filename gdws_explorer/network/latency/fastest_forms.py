"""Chooses for every factorised layer the form that ONNX Runtime computes fastest, by measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.factorize.equal_forms import FORMS
from gdws_explorer.network.latency.onnx_graph import OnnxGraph
from gdws_explorer.network.latency.onnxruntime_profile import (
    BLOCK,
    TurnTimer,
    layer_ms,
    plain_ms,
    session_of,
    warm_runs,
)
from gdws_explorer.network.plans.families import FACTORISED
from gdws_explorer.network.surgery import densify, with_layers
from gdws_explorer.typing import Cancel, FloatArray
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_images
from gdws_explorer.utils.modules import own_copy

STEP = 16  # a multiple of every block of channels that ONNX Runtime has
ROUNDS = 5


@dataclass(frozen=True)
class FormTimes:
    """The form of one layer and what was measured.

    form : the chosen one, a key of FORMS. ms : of every form that the layer has.
    """

    form: str
    ms: Mapping[str, float]


@dataclass(frozen=True)
class FastestForms:
    """A network with equal outputs in its fastest form, and the measured times.

    model : a copy with the chosen forms. layers : by name. dense_ms, as_built_ms, ms : of the
    whole dense network, of the network as it was built, and in its fastest form; medians of runs
    in turns. spread : quartiles of `ms`. batch, threads : of the measurement. processor_share :
    the share of the time that the processor computed for it.
    """

    model: nn.Module
    layers: Mapping[str, FormTimes]
    dense_ms: float
    as_built_ms: float
    ms: float
    spread: tuple[float, float]
    batch: int
    threads: int
    processor_share: float


def fastest_forms(
    model: nn.Module, example: Tensor, *, batch: int = 1, threads: int = 1, cancel: Cancel = None
) -> FastestForms:
    """Times every form of every factorised layer in its place, and chooses the fastest ones.

    model : with factorised layers, float32, on the CPU. example : `(1, C, H, W)`. batch, threads :
    of the runs. Raises ModelError, ExplorerError where ONNX or its runtime refuses the network,
    Cancelled.
    """
    mine = own_copy(model).cpu().eval()
    example = as_images(mine, example.detach())
    modules = {n: m for n, m in mine.named_modules() if isinstance(m, FACTORISED)}
    images = torch.cat([example] * batch).numpy()
    graph = OnnxGraph(densify(mine), example, modules)
    modules = {name: module for name, module in modules.items() if name in graph.names}
    made = {
        form: {name: new for name, module in modules.items() if (new := make(module, STEP))}
        for form, make in FORMS.items()
    }
    times: dict[str, dict[str, float]] = {name: {} for name in modules}
    with TurnTimer(graph.exchanged({}), images, threads) as timer:
        found = []
        for formed in made.values():
            stop_if(cancel)
            found.append(timer.time(graph.exchanged({**modules, **formed}), ROUNDS))
        corrections = timer.corrections(found)
    for (form, formed), timed, drift in zip(made.items(), found, corrections.drifts, strict=True):
        runs = warm_runs(timed.runs)
        for name in formed:
            times[name][form] = layer_ms(runs, name, corrections.overhead) * drift
    chosen = {name: min(found, key=found.__getitem__) for name, found in times.items()}
    replaced = {name: made[form][name] for name, form in chosen.items()}
    dense, built, fast, share = _interleaved(
        [graph.exchanged(each).model for each in ({}, modules, replaced)], images, threads
    )
    low, median, high = np.quantile(fast, [0.25, 0.5, 0.75]).tolist()
    return FastestForms(
        with_layers(mine, lambda name, _: replaced.get(name)),
        {name: FormTimes(chosen[name], times[name]) for name in modules},
        float(np.median(dense)), float(np.median(built)), median, (low, high),
        batch, threads, share,
    )  # fmt: skip


def _interleaved(
    models: list[bytes], images: FloatArray, threads: int
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Returns the ms of the runs of three graphs in turns, and the processor's share."""
    sessions = [session_of(model, threads) for model in models]
    rows: list[list[FloatArray]] = [[] for _ in sessions]
    shares = []
    for _ in range(2 * ROUNDS):
        for session, row in zip(sessions, rows, strict=True):
            times, share = plain_ms(session, images, BLOCK)
            row.append(times[1:])
            shares.append(share)
    dense, built, fast = (np.concatenate(row) for row in rows)
    return dense, built, fast, float(np.median(shares))
