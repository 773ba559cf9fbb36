"""Networks and images to explore: bundled benches, model registries, data sets, checkpoints.

`load` opens a bundled `Bench`: a network with its images, attack and measured records.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gdws_explorer.bench import cifar10
from gdws_explorer.bench.digits import ATTACK, load_images, untrained
from gdws_explorer.bench.resources import data_file, find_data_file
from gdws_explorer.errors import DataError
from gdws_explorer.robust import PGD
from gdws_explorer.study.record_files import read_jsonl
from gdws_explorer.study.records import Record

__all__ = ["Bench", "load", "names"]

TITLES = {
    "digits": "digits, adversarially trained",
    "digits-plain": "digits, trained without attack",
    "cifar10": "CIFAR-10, adversarially trained",
}


@dataclass(frozen=True, eq=False)
class Bench:
    """A network and the images that it is measured on.

    name, title : the name for `load`, and a title for people.
    model : in eval mode; every call of `load` makes a new one.
    data, train_data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`, to measure on and to
        train on; None where they are not on this machine.
    attack : the attack that the network is measured under.
    example : one input `(1, C, H, W)`.
    records : measured plans of this network, the first points of the front.
    card : how the network was trained, and its accuracy.
    """

    name: str
    title: str
    model: nn.Module
    data: tuple[Tensor, Tensor] | None = field(repr=False)
    train_data: tuple[Tensor, Tensor] | None = field(repr=False)
    attack: PGD
    example: Tensor = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    card: dict[str, Any] = field(repr=False)


def names() -> tuple[str, ...]:
    """Returns the names of the bundled benches."""
    return tuple(TITLES)


def load(name: str, *, root: str | os.PathLike[str] | None = None, download: bool = False) -> Bench:
    """Opens a bundled bench; needs no internet connection.

    Parameters
    ----------
    name : "digits", "digits-plain" or "cifar10".
    root : the folder with the images of "cifar10", as torchvision's CIFAR10 stores them, or as
        `test.npz` and `train_*.npz`. By default the folder in the environment variable
        GDWS_EXPLORER_CIFAR10, or this package's cache folder. Without images the bench opens with
        its records, and `data` is None. The digits are bundled.
    download : download CIFAR-10 where it is missing. Without this, nothing is downloaded.

    Returns
    -------
    A new bench.

    Raises
    ------
    DataError : unknown name, or images that are missing in `root`.

    Examples
    --------
    >>> load("digits").data[0].shape
    torch.Size([360, 1, 8, 8])
    """
    if name not in TITLES:
        raise DataError(f"unknown bench {name!r}; expected one of {', '.join(TITLES)}.")
    if name == "cifar10":
        return _cifar10(root, download)
    if root is not None or download:
        raise DataError(f"the images of {name} are bundled; leave root and download out.")
    training, test = load_images()
    return _bench(name, untrained(), (training, test), ATTACK, test[0][:1].clone())


def _cifar10(root: str | os.PathLike[str] | None, download: bool) -> Bench:
    images = cifar10.local_images(root, download)
    grey = torch.full((1, *cifar10.SHAPE), 0.5)
    example = grey if images is None else images[1][0][:1].clone()
    return _bench(
        "cifar10", cifar10.untrained(_card("cifar10")["width"]), images, cifar10.ATTACK, example
    )


def _bench(
    name: str,
    model: nn.Module,
    images: tuple[cifar10.Images, cifar10.Images] | None,
    attack: PGD,
    example: Tensor,
) -> Bench:
    """A bench of `model` with the bundled weights; images : training and test images."""
    model.load_state_dict(safetensors.torch.load_file(data_file(f"{name}.safetensors")))
    training, test = (None, None) if images is None else images
    return Bench(
        name=name,
        title=TITLES[name],
        model=model.eval(),
        data=test,
        train_data=training,
        attack=attack,
        example=example,
        records=_records(name),
        card=_card(name),
    )


def _card(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(data_file(f"{name}.json").read_text(encoding="utf-8"))
    return card


def _records(name: str) -> tuple[Record, ...]:
    file = find_data_file(f"{name}.records.jsonl")
    return () if file is None else read_jsonl(file)  # missing before the first measurement
