"""What there is to explore without bringing anything: bundled networks with their images."""

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

TITLES = {
    "digits": "digits, adversarially trained",
    "digits-plain": "digits, trained without attack",
    "cifar10": "CIFAR-10, adversarially trained",
}


@dataclass(frozen=True, eq=False)
class Bench:
    """A network and the images it is measured on.

    name, title : short, and for people.
    model : in eval mode; yours to keep, every load makes a new one.
    data, train_data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`, to measure on and to
        train on; None where they are not at hand.
    attack : what the network is measured under.
    example : `(1, C, H, W)`, one input.
    records : plans of this network that were measured before, to begin the front with.
    card : how the network was made and what it reached.
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
    """The benches that `load` knows."""
    return tuple(TITLES)


def load(name: str, *, root: str | os.PathLike[str] | None = None, download: bool = False) -> Bench:
    """A bundled bench: "digits", "digits-plain" or "cifar10"; needs no network.

    Parameters
    ----------
    root : where the images of "cifar10" lie: a folder of torchvision's CIFAR10, or of `test.npz`
        and `train_*.npz`. By default the folder that the environment variable
        GDWS_EXPLORER_CIFAR10 names, or this package's cache folder. Without images it opens too,
        with its records and `data` None. The digits are bundled.
    download : fetch CIFAR-10 where it is missing; nothing is fetched unasked.

    Raises DataError for any other name, naming what exists, and for images that are not in `root`.
    """
    if name not in TITLES:
        raise DataError(f"there is no bench {name!r}; expected one of {', '.join(TITLES)}.")
    if name == "cifar10":
        return _cifar10(root, download)
    if root is not None or download:
        raise DataError(f"the images of {name} are bundled; leave root and download out.")
    training, test = load_images()
    return _bench(name, untrained(), (training, test), ATTACK, test[0][:1].clone())


def _cifar10(root: str | os.PathLike[str] | None, download: bool) -> Bench:
    images = cifar10.images_at_hand(root, download)
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
    """`model` with the bundled weights; images : for training and for measuring."""
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
    return json.loads(data_file(f"{name}.json").read_text(encoding="utf-8"))


def _records(name: str) -> tuple[Record, ...]:
    file = find_data_file(f"{name}.records.jsonl")
    return () if file is None else read_jsonl(file)  # a fresh recipe has none yet
