"""Milliseconds in ONNX Runtime: predicted against exported, and what a budget of them saves.

    python benchmarks/onnxruntime_latency.py [network …] [--batch 1] [--fast]

network : digits, cifar10; resnet20, resnet38, resnet56 and resnet18, which have random weights:
time only. For each one: the seconds of `measure_latency(runtime="onnxruntime")`; then
plans by MACs and by milliseconds, of GDWS alone and of all families, of which every layer is put in
its fastest form and the whole network is timed in turns with the dense one (one thread, wall time,
as ratios). The predicted ratio, the measured one with quartiles over blocks, and the ratio of the
layers as built are printed; at the end the error of the predictions over all plans.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from machine import machine
from networks import Block
from torch import nn

import gdws_explorer as gx
from gdws_explorer.network.latency.fastest_forms import fastest_forms

NETWORKS = ("digits", "cifar10", "resnet38", "resnet20", "resnet56", "resnet18")
SHARES = (0.6, 0.45, 0.35, 0.25)
FAMILIES = {"GDWS": ["gdws"], "all": None}


class Basic(nn.Module):
    """A residual network for 32×32 images of three groups, as of He et al. for CIFAR-10."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        layers: list[nn.Module] = []
        channels = 16
        for width in (16, 32, 64):
            for k in range(blocks):
                layers.append(Block(channels, width, 2 if k == 0 and width > 16 else 1))
                channels = width
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, 3, 32, 32)` to `(N, 10)`."""
        x = self.layers(torch.relu(self.bn1(self.conv1(x))))
        scores: torch.Tensor = self.fc(x.mean((2, 3)))
        return scores


def network(name: str) -> gx.Network:
    """Returns a network by its name."""
    if name in ("digits", "cifar10"):
        bench = gx.load(name)
        return gx.Network(bench.model, bench.example)
    torch.manual_seed(0)
    x = torch.rand(1, 3, 32, 32)
    if name == "resnet18":
        return gx.Network(gx.load_model("cifar:resnet18"), x)
    depth = {"resnet20": 3, "resnet38": 6, "resnet56": 9}[name]
    return gx.Network(Basic(depth).eval(), x)


def main() -> None:
    """Prints one block per network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("networks", nargs="*", default=["digits", "cifar10", "resnet20"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="two shares of the MACs only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    errors: list[float] = []
    for name in options.networks:
        net = network(name)
        start = time.perf_counter()
        table = net.measure_latency(runtime="onnxruntime", batch=options.batch)
        print(
            f"\n{name}, batch {options.batch}: measured in {time.perf_counter() - start:.0f} s, "
            f"dense {table.network:.3g} ms ({table.spread.low:.3g} to {table.spread.high:.3g}), "
            f"the processor's share {table.processor_share:.2f}"
            + (" (a noisy machine)" if table.noisy else "")
        )
        for share in SHARES[1::2] if options.fast else SHARES:
            for label, families in FAMILIES.items():
                least = net.least(families=families, weights="relative", slower=True)
                macs = max(share, least)
                plan = net.budget(macs=macs, families=families, weights="relative", slower=True)
                errors.append(line(net, f"{label} MACs {macs:.0%}", plan, options.batch))
            ms = max(share * table.network, net.least("ms", weights="relative"))
            plan = net.budget(ms=ms, weights="relative")
            errors.append(line(net, f"all ms {ms / table.network:.0%}", plan, options.batch))
    found = np.abs(errors)
    print(
        f"\n{len(found)} plans: median error of the prediction {np.median(found):.1%}, "
        f"{np.mean(found <= 0.2):.0%} within 20 %"
    )


def line(net: gx.Network, label: str, plan: gx.Plan, batch: int) -> float:
    """Prints one plan; returns the relative error of its predicted ratio."""
    summary = net.summary(plan)
    assert summary.ms is not None
    assert summary.dense_ms is not None
    found = fastest_forms(net.build(plan), net.example, batch=batch)
    predicted, measured = summary.ms / summary.dense_ms, found.ms / found.dense_ms
    low, high = (value / found.dense_ms for value in found.spread)
    print(
        f"  {label:16} MACs {summary.macs / net.macs:.2f}, error {summary.relative_error:.1%}: ms "
        f"predicted {predicted:.2f}, measured {measured:.2f} ({low:.2f} to {high:.2f}), as built "
        f"{found.as_built_ms / found.dense_ms:.2f}",
        flush=True,
    )
    return predicted / measured - 1


if __name__ == "__main__":
    main()
