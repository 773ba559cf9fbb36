"""Seconds of PGD-20 on the 360 bundled digits: machine, versions, median and spread.

python benchmarks/evaluate.py [runs]
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from importlib import metadata

import torch

from gdws_explorer import bench
from gdws_explorer.network.network import Network
from gdws_explorer.robust import evaluate

AIM = 3.0


def processor() -> str:
    """The processor's name, where the system has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def main() -> None:
    runs = max(5, int(sys.argv[1])) if len(sys.argv) > 1 else 7
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchattacks"))
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}; torch's threads: ", end="")
    print(f"{torch.get_num_threads()}, of which small images use one")
    print(f"Python {platform.python_version()}, {versions}")
    for name in ("digits", "digits-plain"):
        loaded = bench.load(name)
        net = Network(loaded.model, loaded.example)
        small = net.build(net.budget(macs=0.4))
        print(f"\n{name}: 360 images, {loaded.attack.label}, {runs} runs after one to warm up")
        for what, model, through in (
            ("dense network", loaded.model, "dense"),
            ("40 % of the MACs, rebuilt kernels", small, "dense"),
            ("40 % of the MACs, real layers", small, "layers"),
        ):
            reports = [
                evaluate(model, loaded.data, loaded.attack, through=through)
                for _ in range(runs + 1)
            ]
            times = [report.seconds for report in reports[1:]]
            median = statistics.median(times)
            print(
                f"  {what:36s} median {median:.2f} s, min {min(times):.2f}, max {max(times):.2f}"
                f"  (aim {AIM:.0f} s: {'met' if median <= AIM else 'MISSED'}); {reports[0]}"
            )


if __name__ == "__main__":
    main()
