"""What there is to explore without bringing anything: bundled networks with their images."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from gdws_explorer.bench.digits import ATTACK, empty, load_images
from gdws_explorer.bench.paths import data_file
from gdws_explorer.errors import DataError
from gdws_explorer.explore.recordfiles import read_jsonl
from gdws_explorer.explore.records import Record
from gdws_explorer.robust import PGD

TITLES = {
    "digits": "digits, adversarially trained",
    "digits-plain": "digits, trained without attack",
}


@dataclass(frozen=True, eq=False)
class Bench:
    """A network and the images it is measured on.

    name, title : short, and for people.
    model : in eval mode; yours to keep, every load makes a new one.
    data, train_data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`, to measure on and to
        train on.
    attack : what the network is measured under.
    example : `(1, C, H, W)`, one input.
    records : plans of this network that were measured before, to begin the front with.
    card : how the network was made and what it reached.
    """

    name: str
    title: str
    model: nn.Module
    data: tuple[Tensor, Tensor] = field(repr=False)
    train_data: tuple[Tensor, Tensor] = field(repr=False)
    attack: PGD
    example: Tensor = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    card: dict[str, Any] = field(repr=False)


def names() -> tuple[str, ...]:
    """The benches that `load` knows."""
    return tuple(TITLES)


def load(name: str) -> Bench:
    """A bundled bench: "digits" or "digits-plain"; needs no network.

    Raises DataError, naming what exists, for any other name.
    """
    if name not in TITLES:
        raise DataError(f"there is no bench {name!r}; expected one of {', '.join(TITLES)}.")
    model = empty()
    model.load_state_dict(safetensors.torch.load_file(data_file(f"{name}.safetensors")))
    training, test = load_images()
    return Bench(
        name=name,
        title=TITLES[name],
        model=model.eval(),
        data=test,
        train_data=training,
        attack=ATTACK,
        example=test[0][:1].clone(),
        records=_records(name),
        card=json.loads(data_file(f"{name}.json").read_text(encoding="utf-8")),
    )


def _records(name: str) -> tuple[Record, ...]:
    try:
        file = data_file(f"{name}.records.jsonl")
    except FileNotFoundError:  # a fresh recipe has none yet
        return ()
    return read_jsonl(file)
