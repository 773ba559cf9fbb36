"""Spectra of all 3×3 layers of a ResNet-18-shaped network (11 M weights).

    python benchmarks/spectra.py [rounds]

Ours against one torch.svd per channel, as the papers' public code does it, in one process and
interleaved; alone on the machine, and with one other process that computes. Targets: at most
0.3 s; at least 15 times faster than the loop with torch's default threads, and at least twice as
fast as the loop with one thread.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import machine, spread
from torch import Tensor

from gdws_explorer.factorize import gdws, tucker

# (outputs, inputs) of the 3×3 convolutions of a ResNet-18.
SHAPES = (
    *[(64, 64)] * 4,
    (128, 64), *[(128, 128)] * 3,
    (256, 128), *[(256, 256)] * 3,
    (512, 256), *[(512, 512)] * 3,
)  # fmt: skip


def loop(weights: list[Tensor]) -> None:
    """One torch.svd per channel."""
    for weight in weights:
        for channel in range(weight.shape[1]):
            torch.svd(weight[:, channel].flatten(1))


def seconds(work: Callable[[], object], threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    finally:
        torch.set_num_threads(before)


def busy() -> subprocess.Popen[bytes]:
    """Another process that computes, as on a shared machine or during a measurement."""
    work = "import torch; a = torch.randn(900, 900)\nwhile True: a @ a"
    return subprocess.Popen([sys.executable, "-c", work])


def compare(weights: list[Tensor], rounds: int) -> bool:
    """One table: ours and the loop, interleaved; whether the targets are reached."""
    threads = torch.get_num_threads()
    ours: list[float] = []
    default: list[float] = []
    single: list[float] = []
    gdws.spectrum(weights[0])  # first call of the library's solvers
    for _ in range(rounds):
        ours.append(seconds(lambda: [gdws.spectrum(w) for w in weights], threads))
        default.append(seconds(lambda: loop(weights), threads))
        single.append(seconds(lambda: loop(weights), 1))
    print(f"  gdws.spectrum, all layers           {spread(ours)}")
    print(f"  torch.svd per channel, {threads:2} threads   {spread(default)}")
    print(f"  torch.svd per channel,  1 thread    {spread(single)}")
    good = bool(np.median(ours) <= 0.3)
    print(f"  at most 0.3 s: {'met' if good else 'MISSED'}")
    for name, other, target in (("default threads", default, 15), ("one thread", single, 2)):
        ratios = np.array(other) / np.array(ours)
        met = bool(np.median(ratios) >= target)
        good &= met
        print(
            f"  against {name}: {np.median(ratios):.1f} times faster "
            f"({ratios.min():.1f} to {ratios.max():.1f}); "
            f"at least {target}: {'met' if met else 'MISSED'}"
        )
    return good


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.manual_seed(0)
    weights = [torch.randn(o, i, 3, 3) * (2 / (9 * i)) ** 0.5 for o, i in SHAPES]
    print(machine())
    print(f"{len(weights)} layers, {sum(w.numel() for w in weights):,} weights, {rounds} rounds")
    print("alone on the machine:")
    quiet = compare(weights, rounds)
    factors = [seconds(lambda: [tucker.spectrum(w) for w in weights], 2) for _ in range(2)]
    print(f"  tucker.spectrum, all layers         {spread(factors)}")
    # torch's threads wait for each other: one that has to share its core stops them all, as
    # every small matrix of the loop finds out.
    print("with one other process that computes:")
    other = busy()
    try:
        time.sleep(3)
        shared = compare(weights, rounds)
    finally:
        other.kill()
    return 0 if quiet and shared else 1


if __name__ == "__main__":
    sys.exit(main())
