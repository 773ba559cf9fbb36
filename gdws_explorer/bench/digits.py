"""Handwritten digits: images, the small bundled networks, and their training."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdws_explorer.bench.resources import PACKAGE, data_file
from gdws_explorer.errors import DataError
from gdws_explorer.robust import PGD, Report, evaluate
from gdws_explorer.training.train_model import train
from gdws_explorer.typing import Cancel
from gdws_explorer.utils import files
from gdws_explorer.utils.rng import exclusive_rng
from gdws_explorer.utils.threads import torch_threads

EPS = 0.15
ATTACK = PGD(EPS, steps=20)
WIDTHS = (32, 32, 64, 64, 128, 128)
STRIDES = (1, 1, 2, 1, 2, 1)
# Two threads are a third faster on an idle machine, and ten times slower while another process is
# busy. With one thread, the weights do not depend on how sums are split between threads.
THREADS = 1
RECIPE: dict[str, Any] = {
    "epochs": 60,
    "lr": 0.1,
    "batch_size": 64,
    "weight_decay": 5e-4,
    "clean_weight": 0.3,
    "average": 0.995,
    "seed": 0,
}
PLAIN_RECIPE: dict[str, Any] = {**RECIPE, "epochs": 20, "clean_weight": 0.0}


class DigitsNet(nn.Module):
    """Six 3×3 convolutions with BatchNorm and ReLU, the global mean, one linear layer.

    Maps images (N, 1, 8, 8) in [0, 1] to class scores (N, 10). The second and the third pair of
    convolutions begin with stride 2: the pairs work at 8×8, 4×4 and 2×2 positions.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS, classes: int = 10) -> None:
        super().__init__()
        if len(widths) != len(STRIDES):
            raise DataError(f"DigitsNet has {len(widths)} widths; expected {len(STRIDES)}.")
        before = 1
        for i, (width, stride) in enumerate(zip(widths, STRIDES, strict=True), start=1):
            conv = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"bn{i}", nn.BatchNorm2d(width))
            before = width
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the class scores of a batch of images."""
        for i in range(1, len(STRIDES) + 1):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        scores: Tensor = self.fc(x.mean((2, 3)))
        return scores


def load_images() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Returns the 1,437 training and 360 test images `(N, 1, 8, 8)` in [0, 1], with labels.

    The split is stratified and fixed; both parts are in scikit-learn's order.
    """
    with np.load(data_file("digits.npz")) as stored:
        images = torch.from_numpy(stored["images"]).float().div(16)[:, None]
        labels = torch.from_numpy(stored["labels"]).long()
        parts = [torch.from_numpy(stored[name]).long() for name in ("train", "test")]
    first, second = ((images[part], labels[part]) for part in parts)
    return first, second


def random_affine(
    x: Tensor, shift: float = 0.5, degrees: float = 8.0, scale: float = 0.08
) -> Tensor:
    """Moves, rotates and scales every image `(N, C, H, W)` at random.

    shift : the largest move, in pixels. degrees : the largest rotation. scale : the largest change
    of size, as a fraction.
    """
    n, _, _, width = x.shape
    turn, size, *move = (torch.rand(4, n, device=x.device) * 2 - 1).unbind()
    angle, size = turn * math.radians(degrees), 1 + size * scale
    cos, sin = size * angle.cos(), size * angle.sin()
    across, down = (each * shift * 2 / width for each in move)
    rows = [torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.dtype), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)


def train_digits(
    plain: bool = False,
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[float, float], None] | None = None,
    cancel: Cancel = None,
) -> Report:
    """Trains a bundled network again, measures it, and stores its weights and card.

    The recipe is fixed and the averaged weights of its last step are stored: nothing is chosen by
    the 360 test images. It uses one thread and takes under three minutes.

    Parameters
    ----------
    plain : train without attack ("digits-plain").
    out : the folder for `digits.safetensors` and `digits.json` (or `digits-plain.*`); by default
        the checkout's `data/`.
    progress, cancel : as in `training.train`.

    Returns
    -------
    The report on the 360 test images: clean accuracy and PGD-20.
    """
    name = "digits-plain" if plain else "digits"
    folder = PACKAGE.parent / "data" if out is None else Path(out)
    recipe = PLAIN_RECIPE if plain else RECIPE
    attack = None if plain else PGD(EPS, steps=5)
    training, test = load_images()
    started = time.perf_counter()
    with torch_threads(THREADS):
        net = train(
            untrained(recipe["seed"]),
            training,
            attack,
            augment=random_affine,
            progress=progress,
            cancel=cancel,
            **recipe,
        )
        seconds = time.perf_counter() - started
        report = evaluate(net, test, ATTACK)
    card = _card(name, net, recipe, attack, seconds, report)
    with files.atomic(folder / f"{name}.safetensors") as temporary:
        safetensors.torch.save_file(net.state_dict(), temporary)
    files.write_text(folder / f"{name}.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return report


def untrained(seed: int = 0) -> DigitsNet:
    """Returns an untrained network; torch's random generator is not changed."""
    with exclusive_rng(torch.device("cpu")):
        torch.manual_seed(seed)
        return DigitsNet()


def _card(
    name: str,
    net: nn.Module,
    recipe: dict[str, Any],
    attack: PGD | None,
    seconds: float,
    report: Report,
) -> dict[str, Any]:
    """The card of a network: its training and its accuracy, for the JSON file."""
    measured = report.to_dict()
    for mask in ("clean_mask", "robust_mask"):
        del measured[mask]
    return {
        "name": name,
        "network": "gdws_explorer.bench.digits.DigitsNet",
        "parameters": sum(each.numel() for each in net.parameters()),
        "trained_on": "the 1,437 training images of digits.npz; the 360 others chose nothing",
        "training_attack": None if attack is None else attack.to_dict(),
        "recipe": {
            **recipe,
            "optimiser": "SGD, Nesterov momentum 0.9, one learning-rate cycle",
            "augmentation": "up to half a pixel, 8 degrees, 8 % in size",
            "weights": "exponential average after the last step",
        },
        "training_seconds": round(seconds, 1),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{THREADS} thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "measured_on_the_360": measured,
        "licence": "BSD-3-Clause, as the project; the images: CC BY 4.0, see README.md",
    }
