"""Times a network and its layers, dense and factorised, as the network calls them."""

from __future__ import annotations

import itertools
import math
import platform
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.factorize.conv import geometry_of
from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.latency.latency import (
    LatencyCurve,
    LatencyTable,
    LayerTimes,
    Spread,
)
from gdws_explorer.network.plans.families import FAMILIES, FamilyLike, family_names
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.typing import Cancel, FloatArray, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.format import first_line
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import report
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.tensors import layer_input
from gdws_explorer.utils.threads import torch_threads

GRID_END = 1.5  # MACs at the end of a grid of one rank, relative to the dense layer
WARM_UP = 2  # untimed runs of every module
LOOPS = 10  # runs per timing on an accelerator, which works asynchronously

Grid = tuple[tuple[int, ...], ...]


class _Input(NamedTuple):
    """Shape, type and memory format of a layer's input; autocast : the type of the model's own."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool
    autocast: torch.dtype | None


class _Work(NamedTuple):
    """One layer to be timed for all layers of equal signature, with the inputs of its calls."""

    layer: Layer
    module: nn.Conv2d | nn.Linear
    families: tuple[str, ...]
    inputs: tuple[_Input, ...]


def measure_layers(
    model: nn.Module,
    example: Tensor,
    layers: Sequence[Layer],
    fingerprint: str,
    *,
    batch: int = 1,
    threads: int | None = None,
    families: Collection[FamilyLike] | None = None,
    points: int = 6,
    pairs: int = 4,
    repeats: int = 9,
    step: int | None = None,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> LatencyTable:
    """Times a network and its layers, dense and factorised, on the network's device.

    Parameters
    ----------
    model, example, layers, fingerprint : of the dense network; example `(1, C, H, W)`.
    batch : images at once. threads : of torch, restored afterwards; None leaves them unchanged.
    families : names or classes of choices; None for all. points : ranks per family; pairs : ranks
    per axis of Tucker-2.
    repeats : timed runs, whose median is taken. step : channels that the device works on at once,
    see LatencyCurve; None for those of the processor, 1 for straight lines between the measured
    ranks. progress : called with the finished fraction. cancel : checked before every run.

    Raises
    ------
    DataError, PlanError : a number or a family cannot be used. ModelError : the model does not
    take the batch. Cancelled : on request.
    """
    numbers = {"batch": (batch, 1), "points": (points, 2), "pairs": (pairs, 2)}
    numbers |= {"repeats": (repeats, 1), "step": (1 if step is None else step, 1)}
    numbers["threads"] = (1 if threads is None else threads, 1)
    for name, (value, least) in numbers.items():
        checked_whole(name, value, least)
    allowed = family_names(families)
    copy, images = own_copy(model), torch.cat([example] * batch)
    clock, step = _Clock(progress, cancel), step or _step(images.device)
    times: dict[str, LayerTimes] = {}
    with torch_threads(threads), exclusive_rng(images.device), torch.inference_mode():
        works = _works(copy, images, layers, allowed)
        clock.steps += 2 * sum(len(work.families) for work, _ in works)
        network = clock.rounds([copy], [images], repeats)[:, 0].tolist()
        for work, alike in works:
            inputs = [_filled(x, images.device) for x in work.inputs]
            runs = {}
            for family in work.families:
                # Between the layers, so that drift of the machine affects the network too.
                network += clock.rounds([copy], [images], 1)[:, 0].tolist()
                grid = family_grid(work.layer, family, points, pairs, step)
                made = [
                    random_layer(work.module, family, ranks) for ranks in itertools.product(*grid)
                ]
                with _autocast(images.device, work.inputs[0].autocast):
                    runs[family] = grid, clock.rounds([work.module, *made], inputs, repeats)
            times |= {name: _times(runs, calls, step) for name, calls in alike.items()}
        low, median, high = np.quantile(network, [0.25, 0.5, 0.75]).tolist()
        device, threads = str(images.device), torch.get_num_threads()
        machine, spread = machine_of(images.device), Spread(low, high, len(network))
        named = {layer.name: times[layer.name] for layer in layers if layer.name in times}
        return LatencyTable(batch, threads, device, machine, fingerprint, median, spread, named)


class _Clock:
    """Times modules in turns, with progress in equal steps, until it is cancelled."""

    def __init__(self, progress: ProgressFn | None, cancel: Cancel) -> None:
        self.steps, self._done = 1, 0
        self._progress, self._cancel = progress, cancel

    def rounds(
        self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], repeats: int
    ) -> FloatArray:
        """Returns the ms of every module in every round, `(repeats, n)`.

        A round goes from the smallest module to the largest, the next one back. After a much
        larger module the processor's cache is empty, which made a module up to a third slower.
        """
        rows = np.empty((WARM_UP + repeats, len(modules)))
        sizes = [sum(p.numel() for p in module.parameters()) for module in modules]
        order = list(np.argsort(sizes, kind="stable"))
        for turn, row in enumerate(rows, start=1):
            for i in order:
                stop_if(self._cancel)
                row[i] = _ms(modules[i], inputs)
            order.reverse()
            report(self._progress, (self._done + turn / len(rows)) / self.steps)
        self._done += 1
        return rows[WARM_UP:]


def _ms(module: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Returns the ms of one run of a module on all of its inputs."""
    device = inputs[0].device
    loops = 1 if device.type == "cpu" else LOOPS
    wait = torch.accelerator.synchronize if device.type != "cpu" else lambda _: None
    wait(device)
    start = time.perf_counter()
    for _ in range(loops):
        for x in inputs:
            module(x)
    wait(device)
    return 1e3 * (time.perf_counter() - start) / loops


def _works(
    model: nn.Module, images: Tensor, layers: Sequence[Layer], allowed: Collection[str]
) -> list[tuple[_Work, dict[str, int]]]:
    """Returns the layers to time, each with all layers of equal signature.

    The numbers are how often each of these layers does the same work.
    """
    inputs_of = _inputs(model, images, [layer.name for layer in layers if layer.families])
    works: dict[object, tuple[_Work, dict[str, int]]] = {}
    for layer in layers:
        families = tuple(family for family in layer.families if family in allowed)
        if not families:
            continue
        module = model.get_submodule(layer.name)
        assert isinstance(module, nn.Conv2d | nn.Linear)
        calls = Counter(inputs_of[layer.name])
        times = math.gcd(*calls.values())
        inputs = tuple(x for x, n in calls.items() for _ in range(n // times))
        key = (_signature(module), families, inputs)
        works.setdefault(key, (_Work(layer, module, families, inputs), {}))[1][layer.name] = times
    return list(works.values())


def _inputs(model: nn.Module, images: Tensor, names: Iterable[str]) -> dict[str, list[_Input]]:
    """Returns the inputs of every layer in one pass, in call order."""
    found: dict[str, list[_Input]] = {name: [] for name in names}
    kind = images.device.type

    def record(name: str, given: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = layer_input(given, kwargs)
        last = x.ndim == 4 and not x.is_contiguous()
        last = last and x.is_contiguous(memory_format=torch.channels_last)
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        found[name].append(_Input(tuple(x.shape), x.dtype, last, cast))

    hooks = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _m, given, kwargs, name=name: record(name, given, kwargs), with_kwargs=True
        )
        for name in found
    ]
    try:
        model(images)
    except Exception as error:
        raise ModelError(
            f"the model does not take a batch of {len(images)} ({first_line(error)}); measure with "
            "batch=1."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _signature(module: nn.Conv2d | nn.Linear) -> object:
    """Returns all that determines a layer's time, except for its inputs."""
    weight, conv = module.weight, module if isinstance(module, nn.Conv2d) else None
    geometry = (*geometry_of(conv).values(), getattr(conv, "groups", 1))
    return geometry, weight.shape, weight.stride(), weight.dtype, module.bias is None


def family_grid(layer: Layer, family: str, points: int, pairs: int, step: int) -> Grid:
    """Returns the ranks to measure along each axis."""
    method = FAMILIES[family]
    if len(method.ranks) > 1:
        return tuple(_halves(most, pairs, step) for most in layer.weight_shape[:2])
    most = max(2, int(GRID_END * layer.macs / method.cost(layer, 1).macs))
    return (_halves(step * math.ceil(most / step), points, step),)


def _halves(most: int, n: int, step: int) -> tuple[int, ...]:
    """Returns 1, the largest rank and halves of it: at most n multiples of the step.

    Plans use small ranks more often than large ones.
    """
    halves = (step * math.ceil(most / 2**k / step) for k in range(n - 1))
    return tuple(sorted({1, *(min(most, half) for half in halves)}))


def _step(device: torch.device) -> int:
    """Returns the channels of a block: the float32 numbers in a register of the processor."""
    capability = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return {"AVX512": 16, "AVX2": 8}.get(capability, 1)


def random_layer(module: nn.Module, family: str, ranks: tuple[int, ...]) -> nn.Module:
    """Returns the factorised layer of these ranks, with small random weights.

    Weights of zero would be up to a tenth faster. The GDWS kernels are spread evenly over the
    channels.
    """
    method = FAMILIES[family]
    made = method.empty(module, method.choice(*ranks)).eval().requires_grad_(False)
    for parameter in made.parameters():
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 1.0
        parameter.normal_(0, scale, generator=_generator(parameter.device))
    if isinstance(made, GDWSConv2d):
        kernels = len(made.index)
        made.index.copy_(torch.arange(kernels) * made.in_channels // kernels)
    return made


def _filled(given: _Input, device: torch.device) -> Tensor:
    """Returns a random input of this shape, type and memory format."""
    x = torch.empty(given.shape, dtype=given.dtype, device=device)
    x.normal_(generator=_generator(device))
    return x.to(memory_format=torch.channels_last) if given.channels_last else x


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """Computes in the type of the model's own autocast, if it has one."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _generator(device: torch.device) -> torch.Generator:
    """Returns a separate generator, so that torch's random state does not change."""
    return torch.Generator(device).manual_seed(0)


def _times(runs: Mapping[str, tuple[Grid, FloatArray]], calls: int, step: int) -> LayerTimes:
    """Returns medians over the rounds; the dense layer's (column 0) over those of all families."""
    dense = float(np.median(np.concatenate([rows[:, 0] for _, rows in runs.values()])))
    curves = {}
    for family, (grid, rows) in runs.items():
        ms = calls * np.median(rows[:, 1:], axis=0).reshape([len(axis) for axis in grid])
        for axis in range(len(grid)):
            ms = np.maximum.accumulate(ms, axis)  # more ranks are never faster
        curves[family] = LatencyCurve(grid, tuple(ms.ravel().tolist()), step)
    return LayerTimes(calls * dense, curves)


def machine_of(device: torch.device, *packages: str) -> dict[str, str]:
    """Returns the processor's name, from CUDA or Linux, else its architecture, and versions."""
    names = [platform.machine()]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")] or names
    if device.type == "cuda":
        names = [torch.cuda.get_device_name(device)]
    return {
        "processor": names[0],
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{name: metadata.version(name) for name in packages},
    }
