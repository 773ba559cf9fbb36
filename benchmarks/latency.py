"""Seconds of `measure_latency`, and predicted against measured milliseconds of plans.

    python benchmarks/latency.py [rounds] [threads]

For the bundled digits network (batch 1 and 64) and ResNet-18 (batch 1): the seconds of `measure`,
then plans at 75, 50 and 25 % of the MACs. The prediction is the dense network's
milliseconds, minus those of its dense layers, plus those of the chosen layers. The built network is
measured in alternation with the dense one. Ratios are printed as the median over the rounds with
quartiles.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from machine import machine
from torch import Tensor, nn

import gdws_explorer as gx
from gdws_explorer.bench.cifar_models import resnet18
from gdws_explorer.network.latency.benchmark import measure_layers
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.network import Network

SHARES = (0.75, 0.5, 0.25)


def in_turns(models: list[nn.Module], x: Tensor, rounds: int) -> np.ndarray:
    """Milliseconds of every model in every round, `(rounds, n)`."""
    rows = []
    with torch.inference_mode():
        for turn in range(rounds + 2):
            row = []
            for model in models:
                start = time.perf_counter()
                model(x)
                row.append(1e3 * (time.perf_counter() - start))
            if turn >= 2:
                rows.append(row)
    return np.array(rows)


def spread(values: np.ndarray, unit: str = "") -> str:
    """Median and quartiles."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.3g}{unit} ({low:.3g} to {high:.3g})"


def report(title: str, net: Network, batch: int, threads: int, rounds: int) -> None:
    """Measure, predict, build and compare one network."""
    start = time.perf_counter()
    found = measure_layers(
        net.model, net.example, net.layers, net.fingerprint, batch=batch, threads=threads
    )
    seconds = time.perf_counter() - start
    layers = sum(layer.dense for layer in found.layers.values())
    print(
        f"\n{title}, batch {batch}, {threads} thread(s): measured in {seconds:.1f} s; "
        f"network {found.network:.3g} ms ({found.spread.low:.3g} to {found.spread.high:.3g}, "
        f"n = {found.spread.runs}), its {len(found.layers)} layers {layers:.3g}, "
        f"rest {found.rest:.3g} ms"
    )
    x = torch.cat([net.example] * batch)
    plans = {}
    for share in SHARES:
        plans[f"{share:.0%} MACs"] = net.budget(macs=share, weights="relative")
    for one in ("gdws", "tucker2", "svd", "spatial"):
        least = net.least("macs", families=[one])
        plans[f"{one} {max(0.5, least):.0%}"] = net.budget(
            macs=max(0.5, least), weights="relative", families=[one]
        )
    times = in_turns([net.model, *(net.build(plan) for plan in plans.values())], x, rounds)
    plans = {"dense": net.plan(), **plans}
    for (name, plan), own in zip(plans.items(), times.T, strict=True):
        compare(name, found, found.total(plan), own, times[:, 0])


def compare(
    name: str, found: LatencyTable, predicted: float, measured: np.ndarray, dense: np.ndarray
) -> None:
    """One line: predicted, measured and their ratio, in ms and as fractions of the dense network.

    The second one leaves out that the machine runs faster at one time than at another.
    """
    share = predicted / found.network
    print(
        f"  {name:12} predicted {predicted:7.3f} ms, measured {spread(measured, ' ms')}, "
        f"ratio {spread(predicted / measured)}; predicted {share:.2f} × dense, "
        f"measured {np.median(measured / dense):.2f}, ratio {spread(share * dense / measured)}"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(threads)
    print(machine())
    bench = gx.load("digits")
    digits = Network(bench.model, bench.example)
    report("digits", digits, 1, threads, rounds)
    report("digits", digits, 64, threads, rounds)
    report("ResNet-18", Network(resnet18(), torch.rand(1, 3, 32, 32)), 1, threads, rounds)


if __name__ == "__main__":
    main()
