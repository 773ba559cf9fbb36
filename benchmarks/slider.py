"""Kernel side of one slider move, without drawing: 20 and 100 layers.

    python benchmarks/slider.py [moves]

A network slider: `net.budget(..., exact=False)`, as the explorer asks, and `net.summary(plan)`. A
layer slider: `plan.replace(...)` and `net.summary(plan)`. Targets at p95: 1 ms with 20 layers, 5 ms
with 100.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import machine
from torch import nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Tucker2
from gdws_explorer.network.plans.plan import Plan

TARGETS = {20: 1e-3, 100: 5e-3}


def network(layers: int, channels: int = 32) -> Network:
    """A chain of 3×3 convolutions."""
    torch.manual_seed(0)
    sizes = [3, *[channels] * layers]
    convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes)]
    return Network(nn.Sequential(*convs), torch.zeros(1, 3, 16, 16)).prepare()


def timed(move: Callable[[float], object], moves: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Seconds of every move over a slider's whole travel and back, and of the very first one.

    By the clock, and of this thread's processor time: on a busy machine only the second one is
    the program's own.
    """
    travel = 0.5 - 0.5 * np.cos(np.linspace(0, 6 * np.pi, moves))
    start = time.perf_counter()
    move(0.5)
    first = time.perf_counter() - start
    seconds, own = [], []
    for place in travel:
        start, busy = time.perf_counter(), time.thread_time()
        move(float(place))
        own.append(time.thread_time() - busy)
        seconds.append(time.perf_counter() - start)
    return np.array(seconds), np.array(own), first


def moves_of(net: Network) -> dict[str, Callable[[float], object]]:
    """What the sliders do, each taking its place from 0 to 1."""
    least, least_params = net.least("macs"), net.least("params")
    name = net.names[len(net.names) // 2]
    full, plan = net.gdws(name).full, net.budget(macs=0.5)
    out, channels, *_ = net.layer(name).weight_shape

    def summarised(plan: Plan) -> object:
        return net.summary(plan)

    def rank(place: float) -> Plan:
        return plan.replace(name, GDWS(1 + round(place * (full - 1))))

    def ranks(place: float) -> Plan:
        r_out, r_in = (1 + round(place * (most - 1)) for most in (out, channels))
        return plan.replace(name, Tucker2(r_out, r_in))

    return {
        "network, MACs": lambda x: summarised(
            net.budget(macs=least + x * (1 - least), exact=False)
        ),
        "network, parameters": lambda x: summarised(
            net.budget(params=least_params + x * (1 - least_params), exact=False)
        ),
        "network, error": lambda x: summarised(net.budget(error=10 ** (-4 * x), exact=False)),
        "network, β": lambda x: summarised(net.lego(10 ** (2 - 6 * x))),
        "one layer, G": lambda x: summarised(rank(x)),
        "one layer, r_out and r_in": lambda x: summarised(ranks(x)),
    }


def main() -> int:
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(machine())
    good = True
    for layers, target in TARGETS.items():
        net = network(layers)
        for name, move in moves_of(net).items():
            gc.collect()
            seconds, own, first = timed(move, moves)
            middle, high = (1e3 * np.percentile(seconds, p) for p in (50, 95))
            met = bool(high <= 1e3 * target)
            good &= met
            print(
                f"{layers:3} layers · {name:26} p50 {middle:.3f} ms, p95 {high:.3f} ms "
                f"(processor {1e3 * np.percentile(own, 95):.3f}), "
                f"max {1e3 * seconds.max():.2f}, first {1e3 * first:.1f} ({moves} moves); "
                f"at most {1e3 * target:.0f} ms: {'met' if met else 'MISSED'}"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
