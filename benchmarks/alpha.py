"""α of eq. 8: the batched passes against the plain loop over images and classes.

    python benchmarks/alpha.py [images of the plain loop]

On the bundled digits network and on the real ResNet-38 (../shared/data), with one thread and with
all of them, in one process.
"""

from __future__ import annotations

import copy
import sys
import time

import torch
from machine import machine
from networks import cifar10, resnet38
from torch import Tensor, nn

from gdws_explorer import bench
from gdws_explorer.network.calibration.alpha import MARGIN, compute_alpha

BAR = 5.0


def plain(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Eq. 8 literally: one forward and one backward pass for every image and class."""
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = {name: torch.zeros(m.in_channels, dtype=torch.float64) for name, m in convs.items()}
    for image in x:
        with torch.no_grad():
            top = int(model(image[None]).argmax())
        for j in set(range(10)) - {top}:
            model.zero_grad()
            scores = model(image[None])[0]
            margin = scores[top] - scores[j]
            margin.backward()
            share = 1 / (2 * max(margin.item(), MARGIN) ** 2 * len(x))
            for name, conv in convs.items():
                assert conv.weight.grad is not None
                mean = conv.weight.grad.double().square().sum((0, 2, 3)) / conv.weight[:, 0].numel()
                found[name] += share * mean
    return found


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max(float(((ours[n] - a).abs() / a.abs()).max()) for n, a in theirs.items())


def main() -> None:
    few = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(machine())
    digits = bench.load("digits")
    compare("digits", digits.model.eval(), digits.train_data[0][:96], few)
    compare("ResNet-38", resnet38(), cifar10("train_0", 64)[0], few)


def compare(what: str, model: nn.Module, x: Tensor, few: int) -> None:
    # In float32 a ReLU whose input is zero but for rounding may fall on the other side when the
    # batch has another size: an image's gradient then jumps. In float64 none of them does.
    exact, part = copy.deepcopy(model).double(), x[: 3 * few].double()
    apart = largest_difference(compute_alpha(exact, part, n=None), plain(exact, part))
    print(f"{what}, float64: largest relative difference {apart:.1e} (n = {len(part)})")
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        compute_alpha(model, x[:4], n=None)  # warm
        plain(model, x[:1])
        ratios = []
        for turn in range(3):
            part = x[turn * few : (turn + 1) * few]
            started = time.perf_counter()
            slow = plain(model, part)
            loop = (time.perf_counter() - started) / few
            started = time.perf_counter()
            compute_alpha(model, x, n=None)
            batched = (time.perf_counter() - started) / len(x)
            apart = largest_difference(compute_alpha(model, part, n=None), slow)
            ratios.append(loop / batched)
            print(
                f"{what}, {threads} threads: plain {loop * 1e3:.0f} ms an image, batched "
                f"{batched * 1e3:.1f} ms: {ratios[-1]:.1f} times; largest relative difference "
                f"{apart:.1e} (n = {few})",
                flush=True,
            )
        middle = sorted(ratios)[1]
        print(f"  median {middle:.1f} (bar {BAR:.0f}: {'met' if middle >= BAR else 'MISSED'})")


if __name__ == "__main__":
    main()
