"""Opening large networks: all tables of all families, from scratch and from the cache, by size.

    python benchmarks/scale.py [NAME ...]

Random weights of VGG-16 (CIFAR), ResNet-50 (ImageNet) and WRN-28-10, and of WRN-28-k for the curve.
Each opening runs in a separate process. Targets: all tables of all families in at most 12 s and
2 GB above the model, the second opening from the cache under 1 s, and the whole analytic
error-MACs front of ResNet-50 in under 0.2 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import machine, spread
from torch import nn

from gdws_explorer.bench import cifar_models
from gdws_explorer.bench.model_registry import load_model

BUILT = ("VGG-16", "ResNet-50", "WRN-28-10")
CURVE = ("WRN-28-2", "WRN-28-4", "WRN-28-6", "WRN-28-8", "WRN-28-10")
RUNS = 3


def built(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A network with random weights, and an image for it."""
    if name == "ResNet-50":
        return load_model("torchvision:resnet50"), torch.rand(1, 3, 224, 224)
    torch.manual_seed(0)
    small = torch.rand(1, 3, 32, 32)
    if name == "VGG-16":
        return cifar_models.vgg16(), small
    return cifar_models.wide_resnet(28, int(name.removeprefix("WRN-28-"))), small


def opened(name: str, folder: str) -> dict[str, float]:
    """One opening, in this process: seconds, memory, and the front."""
    from gdws_explorer import Network

    model, example = built(name)
    with torch.inference_mode():
        model.eval()(example)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    net = Network(model, example)
    traced = time.perf_counter()
    net.prepare(cache=folder)
    ready = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    net.budget(macs=0.5, exact=False)
    least = net.least()
    front = time.perf_counter()
    for fraction in np.linspace(least, 1.0, 100):
        net.budget(macs=float(fraction), exact=False)
    walked = time.perf_counter()
    return {
        "weights": sum(net.layer(n).params for n in net.names) / 1e6,
        "layers": len(net.names),
        "trace": traced - started,
        "tables": ready - traced,
        "memory": (peak - before) / 2**20,
        "front": walked - front,
    }


def run(name: str, folder: str) -> dict[str, float]:
    """`opened` in a fresh process."""
    words = [sys.executable, __file__, "--open", name, folder]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def mark(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


def first_and_second(name: str) -> None:
    firsts, seconds = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            firsts.append(run(name, folder))
            size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
            seconds.append(run(name, folder))
    tables = [one["trace"] + one["tables"] for one in firsts]
    again = [one["trace"] + one["tables"] for one in seconds]
    memory = max(one["memory"] for one in firsts)
    fronts = [one["front"] for one in firsts + seconds]
    print(
        f"{name}: {firsts[0]['weights']:.1f} M weights in {firsts[0]['layers']:.0f} layers\n"
        f"  all tables {spread(tables)}; at most 12 s: {mark(max(tables), 12)}\n"
        f"  memory above the model, at most {memory:.2f} GiB; at most 2 GB: "
        f"{mark(memory * 1.0737, 2)}\n"
        f"  second opening {spread(again)}, file {size:.0f} MiB; under 1 s: {mark(max(again), 1)}\n"
        f"  front of 100 budgets {spread(fronts)}; under 0.2 s: {mark(max(fronts), 0.2)}",
        flush=True,
    )


def curve() -> None:
    """Seconds and memory against the weights, and the slope of their logarithms."""
    points = []
    for name in CURVE:
        with tempfile.TemporaryDirectory() as folder:
            points.append(run(name, folder))
        one = points[-1]
        print(
            f"  {name:10s} {one['weights']:5.1f} M weights: {one['tables']:6.2f} s, "
            f"{one['memory']:.2f} GiB; {1e3 * one['tables'] / one['weights']:.0f} ms and "
            f"{1024 * one['memory'] / one['weights']:.0f} MiB per million",
            flush=True,
        )
    weights = np.log([p["weights"] for p in points])
    for what in ("tables", "memory"):
        slope = np.polyfit(weights, np.log([p[what] for p in points]), 1)[0]
        print(f"  {what} grow as weights to the {slope:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Opening large networks")
    parser.add_argument("names", nargs="*", default=[*BUILT, "curve"])
    parser.add_argument("--open", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        print(json.dumps(opened(*given.open)))
        return
    print(machine(), flush=True)
    for name in given.names:
        if name == "curve":
            curve()
        else:
            first_and_second(name)


if __name__ == "__main__":
    main()
