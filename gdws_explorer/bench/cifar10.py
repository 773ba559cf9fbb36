"""CIFAR-10: the images, wherever they lie, and the network of our own that is trained on them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdws_explorer.bench import cifar_models, torchvision_datasets
from gdws_explorer.bench.data import load_data
from gdws_explorer.errors import DataError
from gdws_explorer.robust import PGD
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.training import Recipe
from gdws_explorer.training.augment import crop_and_flip
from gdws_explorer.utils.rng import exclusive_rng

EPS = 8 / 255
SHAPE = (3, 32, 32)
UNPACKED = "cifar-10-batches-py"  # what torchvision makes of the archive
FOLDER = "GDWS_EXPLORER_CIFAR10"  # the environment variable that names the images' folder
ATTACK = PGD(EPS, steps=20)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
WIDTH = 16  # channels of the first group: what two cores train in the time there is
FULL = 64  # the published networks'
# Three courses, each one learning-rate cycle: on images of 24 pixels, which take half the time,
# then of 32 (progressive resizing, as in Wong et al., ICLR 2020, section 4), then longer.
SMALL = 24
COURSE = Recipe(
    method="fast",
    epochs=4,
    lr=0.2,
    batch_size=128,
    eps=EPS,
    average=0.995,
    augment=True,
    amp=True,
    validation=0.005,
)
COURSES = {
    "small": replace(COURSE, augment=False, validation=0.0),
    "full": replace(COURSE, lr=0.15),
    "long": replace(COURSE, lr=0.15, epochs=12, validation=0.01),
}
Images = tuple[Tensor, Tensor]


def downscaled(x: Tensor) -> Tensor:
    """Images `(B, 3, 32, 32)`, cropped and flipped at random, at 24 × 24 pixels."""
    return F.interpolate(crop_and_flip(x), SMALL, mode="bilinear", antialias=True).clamp(0, 1)


def untrained(width: int = WIDTH, seed: int = 0) -> nn.Module:
    """An untrained network: PreActResNet-18 on normalised images, in eval mode.

    width : channels of the first group. torch's random numbers stay as they are.
    """
    with exclusive_rng(torch.device("cpu")):
        torch.manual_seed(seed)
        net = cifar_models.preactresnet18(last=True, width=width)
    return Normalized(net, MEAN, STD).eval()


def load_images(
    root: str | os.PathLike[str] | None = None, *, train: bool = False, download: bool = False
) -> Images:
    """The 50,000 training or 10,000 test images `(N, 3, 32, 32)` in [0, 1], with their labels.

    root : a folder of torchvision's CIFAR10, or one with `test.npz` and `train_*.npz`, each with
        `x` and `y`; this package's cache folder unless given. download : fetch what is missing.

    Raises DataError where they are not there.
    """
    own = "train_*.npz" if train else "test.npz"
    files = sorted(Path(root).glob(own)) if root is not None else []
    if not files:
        return load_data("cifar10", root=root, train=train, download=download)
    parts = [load_data(file) for file in files]
    images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    if images.shape[1:] != SHAPE or int(labels.max()) > 9:
        raise DataError(
            f"{files[0].parent} has images {tuple(images.shape[1:])} with labels up to "
            f"{int(labels.max())}; expected CIFAR-10, {SHAPE} and 9."
        )
    return images, labels


def images_at_hand(
    root: str | os.PathLike[str] | None, download: bool
) -> tuple[Images, Images] | None:
    """Training and test images; None where nobody said where they are, and they are not cached.

    Raises DataError where they are not in `root`, or in the folder that the environment names.
    """
    folder = root or os.environ.get(FOLDER) or None
    # Looking first saves importing torchvision to learn that there is nothing.
    if folder is None and not download and not (torchvision_datasets.place() / UNPACKED).is_dir():
        return None
    return (
        load_images(folder, train=True, download=download),
        load_images(folder, download=download),
    )
