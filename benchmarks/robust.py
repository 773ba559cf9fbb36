"""The real networks of ../shared/data measured again, with the time that it takes.

    python benchmarks/robust.py

Clean accuracy on all 10,000 CIFAR-10 test images and PGD-10 (8/255, step 2/255) on the first 500:
published are 83.73 % and 25.8 % for the ResNet-38 of triple-wins, and 91.73 % and about 0 % for the
ResNet-20, which is not robust. Then PGD-20 on 256 images against torchattacks' plain loop, in one
process and interleaved: the same verdicts (without random start), at least twice as fast.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torchattacks
from machine import machine, spread
from networks import cifar10, resnet20, resnet38
from torch import Tensor, nn

from gdws_explorer.robust import PGD, evaluate

EPS = 8 / 255


def reproduced(name: str, model: nn.Module, clean: float, robust: float) -> None:
    x, y = cifar10("test", 10_000)
    seen = evaluate(model, (x, y), batch_size=250)
    attack = PGD(EPS, steps=10, step_size=2 / 255)
    hit = evaluate(model, (x[:500], y[:500]), attack, batch_size=100)
    assert hit.robust is not None and hit.robust_interval is not None  # noqa: PT018
    low, high = hit.robust_interval
    print(
        f"{name}: clean {seen.clean:.2%} of {seen.n:,} (published: {clean:.2%}); {attack.label} "
        f"{hit.robust:.1%} ({low:.1%} to {high:.1%}) of {hit.n} (published: {robust:.1%}: "
        f"{'inside' if low <= robust <= high else 'OUTSIDE'})",
        flush=True,
    )


def plain(model: nn.Module, x: Tensor, y: Tensor, batch: int) -> np.ndarray:
    strike = torchattacks.PGD(model, eps=EPS, alpha=2.5 * EPS / 20, steps=20, random_start=False)
    found = []
    for start in range(0, len(y), batch):
        images, labels = x[start : start + batch], y[start : start + batch]
        with torch.no_grad():
            before = model(images).argmax(1) == labels
        attacked = strike(images, labels)
        with torch.no_grad():
            found.append(before & (model(attacked).argmax(1) == labels))
    return torch.cat(found).numpy()


def faster(model: nn.Module, rounds: int = 3, batch: int = 64) -> None:
    x, y = cifar10("test", 256)
    attack = PGD(EPS, steps=20, random_start=False)
    theirs, ours = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        expected = plain(model, x, y, batch)
        theirs.append(time.perf_counter() - started)
        report = evaluate(model, (x, y), attack, batch_size=batch)
        ours.append(report.seconds)
        differ = int((report.robust_mask != expected).sum())
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    print(
        f"{attack.label} on 256 images: torchattacks {spread(theirs)}, ours {spread(ours)}; "
        f"{np.median(ratios):.1f} times ({min(ratios):.1f} to {max(ratios):.1f}); at least 2: "
        f"{'met' if np.median(ratios) >= 2 else 'MISSED'}; verdicts that differ: {differ}"
    )


def main() -> None:
    print(machine(), flush=True)
    robust = resnet38()
    faster(robust)
    reproduced("ResNet-38", robust, 0.8373, 0.258)
    reproduced("ResNet-20", resnet20(), 0.9173, 0.0)


if __name__ == "__main__":
    main()
