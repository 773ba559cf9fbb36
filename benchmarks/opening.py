"""Opening a network: CPU seconds of `gx.Network(model, example)`, here and in another checkout.

    python benchmarks/opening.py [--network torchvision:resnet50] [--against FOLDER] [--runs 5]

Random weights, an image of 224 × 224. Every opening runs in a fresh process with one thread, after
one forward pass; the two checkouts take turns. FOLDER is a checkout of another commit, made by
`git worktree add --detach FOLDER COMMIT`. Target: at most 20 % above commit be602a4, before layers
that are used otherwise than by calling them were looked for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from machine import machine, spread

HERE = Path(__file__).resolve().parents[1]
CODE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import torch
import gdws_explorer as gx
torch.set_num_threads(1)
model, example = gx.load_model(sys.argv[1]).eval(), torch.rand(1, 3, 224, 224)
with torch.inference_mode():
    model(example)
started = time.process_time()
gx.Network(model, example)
print(time.process_time() - started)
"""


def opened(folder: Path, name: str) -> float:
    """CPU seconds of one opening with the package in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", CODE, name]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Opening a network")
    parser.add_argument("--network", default="torchvision:resnet50")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    print(machine(), flush=True)
    folders = [HERE] if given.against is None else [given.against.resolve(), HERE]
    seconds: dict[Path, list[float]] = {folder: [] for folder in folders}
    for _ in range(given.runs):
        for folder in folders:
            seconds[folder].append(opened(folder, given.network))
    for folder, each in seconds.items():
        print(f"{given.network}, {folder}: {spread(each)} of CPU")
    if given.against is not None:
        before, now = (seconds[folder] for folder in folders)
        ratios = np.divide(now, before)
        print(
            f"now / before: {np.median(now) / np.median(before):.2f} of the medians, "
            f"{ratios.min():.2f} to {ratios.max():.2f} in pairs"
        )


if __name__ == "__main__":
    main()
