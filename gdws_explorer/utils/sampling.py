"""Seeded samples of images, and the numbers of images that are used unless n is given.

Images to measure on have labels, and their sample is balanced over the classes
(`balanced_sample`). Images to calibrate on need none, and their sample is a plain shuffle
(`plain_sample`); the hashes of stored plans depend on its order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gdws_explorer.utils.checks import checked_whole

EVALUATION_IMAGES = 360  # to measure the plans of a study on
CALIBRATION_IMAGES = 512  # for the moments of a calibration, and for refits
ALPHA_IMAGES = 150  # for the paper's α


def balanced_sample(labels: Tensor, n: int | None, seed: int) -> Tensor:
    """Returns the indices `(n,)` of a seeded sample with class counts as equal as possible.

    The classes take turns, so that a sample of 100 is the beginning of the sample of 200. n None
    takes all images, in the same order. Raises DataError if n is not in 1..N.
    """
    total = len(labels)
    n = _checked(n, total)
    order = np.random.default_rng(seed).permutation(total)
    shuffled = labels.cpu().numpy()[order]
    turn = np.empty(total, dtype=np.int64)
    for label in np.unique(shuffled):
        places = np.flatnonzero(shuffled == label)
        turn[places] = np.arange(len(places))
    return torch.from_numpy(order[np.argsort(turn, kind="stable")][:n].copy())


def plain_sample(total: int, n: int | None, seed: int) -> Tensor:
    """Returns the first n indices `(n,)` of a seeded shuffle of `total` images.

    n None takes all images. Raises DataError if n is not in 1..total.
    """
    n = _checked(n, total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:n]


def _checked(n: int | None, total: int) -> int:
    return checked_whole(
        "n", total if n is None else n, 1, total,
        expected=f"a whole number from 1 to {total}, the number of images, or None for all",
    )  # fmt: skip
