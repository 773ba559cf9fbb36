"""Targets: a bench, its name, a module or a network, with the images and the attack for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from gdws_explorer.bench import Bench, load
from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.robust.sequence import AttackSequence, checked_attack
from gdws_explorer.utils.tensors import tensor_of

DEFAULT_ATTACK: Final = "usual"  # the bench's attack; PGD-20 with ε 8/255 for other networks
DEFAULT_EPS = 8 / 255

AnyTarget = Bench | str | nn.Module | Network
AnyAttack = Attack | AttackSequence | Sequence[Attack] | Literal["usual"] | None


@dataclass(frozen=True, eq=False)
class Target:
    """A network with all that measuring it takes.

    data : checked images `(N, C, H, W)` and labels `(N,)`, or None. calibration : images and
    labels (or None) for approximations made from data, or None. attack : None for clean accuracy
    only. title : a name for people. bench : the bench that it is from, or None.
    """

    network: Network
    data: tuple[Tensor, Tensor] | None
    calibration: tuple[Tensor, Tensor | None] | None
    attack: Attack | AttackSequence | None
    title: str
    bench: Bench | None = None


def resolve_target(
    target: AnyTarget,
    *,
    data: tuple[Any, Any] | None = None,
    calibration: Any = None,
    eps: float | None = None,
    attack: AnyAttack = DEFAULT_ATTACK,
    example: Tensor | None = None,
    title: str | None = None,
    skip: Collection[str] | None = None,
) -> Target:
    """Returns a target's network and what belongs to it; the one rule for explore, sweep, search.

    A bench brings its model, example, images, training images for the calibration, attack and
    title; each of them that is given replaces the bench's. The parameters are those of
    `gx.explore`. `DEFAULT_ATTACK` is the attack of the bench; PGD-20 with radius `eps` (8/255
    unless given) for other networks; no attack where there are no images.

    Raises
    ------
    ModelError
        `target` is none of the four, or `skip` is given with a Network, which has its own.
    DataError
        The images do not fit, or neither images nor an example are there.
    """
    found = load(target) if isinstance(target, str) else target
    bench = found if isinstance(found, Bench) else None
    if bench is not None:
        data = bench.data if data is None else data
        calibration = bench.train_data if calibration is None else calibration
        example = bench.example if example is None else example
        title = title or bench.title
    elif not isinstance(found, nn.Module | Network):
        raise ModelError(
            f"the target is a {type(found).__name__}; expected a bench, its name, an nn.Module or "
            "a Network."
        )
    images = None if data is None else check_data(data)
    if isinstance(found, Network):
        if skip is not None:
            raise ModelError(
                "skip= is given with a Network, which has its own; give it to Network(…, skip=…)."
            )
        network = found
    else:
        if example is None:
            if images is None:
                raise DataError(
                    "there are no images to measure on; give data=(images, labels), or example= to "
                    "explore without accuracy."
                )
            example = images[0][:1]
        model = found.model if isinstance(found, Bench) else found
        network = Network(model, example, skip=skip)
    return Target(
        network,
        images,
        None if calibration is None else calibration_images(calibration),
        _attack(attack, eps, bench, images is not None),
        title or type(network.model).__name__,
        bench,
    )


def calibration_images(given: Any) -> tuple[Tensor, Tensor | None]:
    """Returns checked images to calibrate on, with labels or None.

    given : images `(N, C, H, W)` in [0, 1], or a pair (images, labels). Raises DataError.
    """
    if isinstance(given, tuple | list):
        return check_data(given)
    images = tensor_of(given, "the images")
    return check_data((images, torch.zeros(images.shape[:1], dtype=torch.int64)))[0], None


def _attack(
    attack: AnyAttack, eps: float | None, bench: Bench | None, images: bool
) -> Attack | AttackSequence | None:
    if isinstance(attack, str):
        if attack != DEFAULT_ATTACK:
            raise DataError(
                f"attack is {attack!r}; expected an attack, None, or {DEFAULT_ATTACK!r}."
            )
        if eps is not None:
            return PGD(eps)
        if bench is not None:
            return checked_attack(bench.attack)
        return PGD(DEFAULT_EPS) if images else None
    return checked_attack(attack)
