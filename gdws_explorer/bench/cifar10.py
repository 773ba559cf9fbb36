"""CIFAR-10: images, and the bundled network with its recipes."""

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
UNPACKED = "cifar-10-batches-py"  # the folder that torchvision unpacks
FOLDER = "GDWS_EXPLORER_CIFAR10"  # the environment variable that names the images' folder
ATTACK = PGD(EPS, steps=20)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
WIDTH = 16  # channels of the first group of the bundled network, trained on two CPU cores
FULL = 64  # channels of the first group of the published networks
# Three trainings in sequence, each of one learning-rate cycle: on images of 24 pixels, which take
# half the time, then of 32 pixels (progressive resizing, Wong et al., ICLR 2020, section 4), then
# more epochs.
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
    """Crops and flips images `(B, 3, 32, 32)` at random, and resizes them to 24 × 24 pixels."""
    return F.interpolate(crop_and_flip(x), SMALL, mode="bilinear", antialias=True).clamp(0, 1)


def untrained(width: int = WIDTH, seed: int = 0) -> nn.Module:
    """Returns an untrained PreActResNet-18 with normalised inputs, in eval mode.

    width : channels of the first group. torch's random generator is not changed.
    """
    with exclusive_rng(torch.device("cpu")):
        torch.manual_seed(seed)
        net = cifar_models.preactresnet18(last=True, width=width)
    return Normalized(net, MEAN, STD).eval()


def load_images(
    root: str | os.PathLike[str] | None = None, *, train: bool = False, download: bool = False
) -> Images:
    """Returns the 50,000 training or 10,000 test images `(N, 3, 32, 32)` in [0, 1], with labels.

    root : a folder of torchvision's CIFAR10, or one with `test.npz` and `train_*.npz`, each with
        `x` and `y`; by default this package's cache folder. download : download what is missing.

    Raises DataError where the images are missing.
    """
    pattern = "train_*.npz" if train else "test.npz"
    files = sorted(Path(root).glob(pattern)) if root is not None else []
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


def local_images(
    root: str | os.PathLike[str] | None, download: bool
) -> tuple[Images, Images] | None:
    """Returns training and test images, or None where no folder is given and none is cached.

    Raises DataError where they are missing in `root` or in the environment variable's folder.
    """
    folder = root or os.environ.get(FOLDER) or None
    # Checked first, because importing torchvision takes long.
    if (
        folder is None
        and not download
        and not (torchvision_datasets.default_root() / UNPACKED).is_dir()
    ):
        return None
    return (
        load_images(folder, train=True, download=download),
        load_images(folder, download=download),
    )
