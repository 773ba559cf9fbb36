"""Attacks run by torchattacks 3.3, which leave the model and torch's random state unchanged.

The functions take plain numbers and return attack functions: images `(B, C, H, W)` in [0, 1] and
labels `(B,)` to attacked images. Importing torchattacks takes a second: import this module when an
attack begins, not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torchattacks
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import TARGETS, AttackFn
from gdws_explorer.robust.data_checks import check_logits, is_correct
from gdws_explorer.robust.torchattacks_fixes import (
    DeterministicAPGD,
    DeterministicSquare,
    TargetedAPGD,
    TorchattacksAdapter,
)
from gdws_explorer.utils.devices import to_single
from gdws_explorer.utils.modules import no_parameter_grads, preserve_modes
from gdws_explorer.utils.precision import CastingModel
from gdws_explorer.utils.rng import exclusive_rng

NORM = {"linf": "Linf", "l2": "L2"}


def fgsm(model: nn.Module, eps: float) -> AttackFn:
    """Returns FGSM in the ℓ∞ ball of radius `eps`."""
    return _plain(torchattacks.FGSM(TorchattacksAdapter(model), eps=eps))


def trades(model: nn.Module, eps: float, step_size: float, steps: int) -> AttackFn:
    """Returns the attack of TRADES: it raises the divergence of the scores from the clean ones."""
    adapter = TorchattacksAdapter(model)
    return _plain(torchattacks.TPGD(adapter, eps=eps, alpha=step_size, steps=steps))


def pgd(
    model: nn.Module,
    norm: str,
    eps: float,
    steps: int,
    step_size: float,
    random_start: bool,
    restarts: int,
) -> AttackFn:
    """Returns PGD: the point-wise worst case over its restarts."""
    settings = {"alpha": step_size, "steps": steps, "random_start": random_start}
    kind = torchattacks.PGD if norm == "linf" else torchattacks.PGDL2
    attack_fn = _plain(kind(TorchattacksAdapter(model), eps=eps, **settings))
    return attack_fn if restarts == 1 else worst_case(model, [attack_fn] * restarts)


def apgd(
    model: nn.Module,
    norm: str,
    eps: float,
    steps: int,
    restarts: int,
    loss: str,
    targeted: bool,
) -> AttackFn:
    """Returns APGD-CE, APGD-DLR or, with `targeted`, APGD-T."""
    settings = {"norm": NORM[norm], "eps": eps, "steps": steps, "n_restarts": restarts}
    adapter = TorchattacksAdapter(model)
    if targeted:
        return _isolated(TargetedAPGD(adapter, **settings), "APGD-T", classes=4)
    attack = DeterministicAPGD(adapter, loss=loss, **settings)
    return _isolated(attack, f"APGD-{loss.upper()}", classes=3 if loss == "dlr" else 2)


def fab(model: nn.Module, norm: str, eps: float, steps: int, restarts: int) -> AttackFn:
    """Returns FAB-T."""
    attack = torchattacks.FAB(
        TorchattacksAdapter(model),
        norm=NORM[norm],
        eps=eps,
        steps=steps,
        n_restarts=restarts,
        multi_targeted=True,
        n_classes=TARGETS + 1,
    )
    return _isolated(attack, "FAB-T", classes=2)


def square(model: nn.Module, norm: str, eps: float, queries: int, restarts: int) -> AttackFn:
    """Returns the Square attack."""
    attack = DeterministicSquare(
        TorchattacksAdapter(model),
        norm=NORM[norm],
        eps=eps,
        n_queries=queries,
        n_restarts=restarts,
    )
    isolated = _isolated(attack, "Square", classes=2)

    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        _check_square(norm, x)
        return isolated(x, y)

    return attack_fn


def ensemble(model: nn.Module, norm: str, parts: Sequence[AttackFn]) -> AttackFn:
    """Returns the point-wise worst case over the parts of AutoAttack, bound to the same model.

    torchattacks' own AutoAttack runs APGD and FAB for 10 steps instead of 100, takes its seed from
    the clock, and targets every wrong class, however many there are.
    """
    adapter = TorchattacksAdapter(model)

    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad(), _unchanged(adapter):
            _check_classes(adapter, x, y, "AutoAttack", 4)
        _check_square(norm, x)
        # Every part draws the seed that it draws alone, so it fools the images that it fools alone.
        state = torch.get_rng_state()
        return worst_case(model, [_from_state(state, part) for part in parts])(x, y)

    return attack_fn


def worst_case(model: nn.Module, attacks: Sequence[AttackFn]) -> AttackFn:
    """Returns several attacks as one: each runs on the images that the ones before did not fool."""
    model = CastingModel.of(model)

    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        attacked = x.clone()
        at = torch.arange(len(x), device=x.device)
        with _unchanged(model):
            for turn, attack in enumerate(attacks, 1):
                found = attack(x[at], y[at]).to(attacked)
                attacked[at] = found
                if turn < len(attacks):
                    with torch.no_grad():
                        at = at[is_correct(model(found), y[at])]
                if not len(at):
                    break
        return attacked

    return attack_fn


def _from_state(state: Tensor, attack: AttackFn) -> AttackFn:
    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        torch.set_rng_state(state)
        return attack(x, y)

    return attack_fn


def _isolated(attack: Any, name: str, classes: int) -> AttackFn:
    """Returns an attack that seeds torch's generators itself as one that restores them.

    Its seed is drawn from torch's generator, which moves on by this one number.
    """

    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        seed = int(torch.randint(2**31, ()))
        # Without gradients: APGD switches them on where it needs them, and would otherwise store a
        # graph of all steps.
        with torch.no_grad(), _unchanged(attack.model), exclusive_rng(attack.device):
            found = _check_classes(attack.model, x, y, name, classes)
            attack.seed = seed
            attack.n_target_classes = min(TARGETS, found - 1)
            # FAB computes in single precision, whatever the precision of the images.
            attacked: Tensor = attack(x.float().contiguous(), y)
            return attacked.to(x)

    return attack_fn


def _plain(attack: Any) -> AttackFn:
    """Returns an attack that draws from torch's generators as they are."""

    def attack_fn(x: Tensor, y: Tensor) -> Tensor:
        with _unchanged(attack.model):
            attacked: Tensor = attack(to_single(x).contiguous(), y)
            return attacked.to(x)

    return attack_fn


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Puts the model in eval mode without parameter gradients (FAB would leave some), then back."""
    with preserve_modes(model), no_parameter_grads(model):
        model.eval()
        yield


def _check_classes(model: nn.Module, x: Tensor, y: Tensor, name: str, least: int) -> int:
    """Returns how many classes the model scores; raises DataError for fewer than `least`."""
    found = check_logits(model(x[:1]), y[:1]).shape[1]
    if found < least:
        raise DataError(
            f"{name} needs scores of at least {least} classes, and the model has {found}; use"
            " gx.PGD, gx.APGD with loss='ce', gx.FAB or gx.Square."
        )
    return found


def _check_square(norm: str, x: Tensor) -> None:
    """Raises DataError for images whose edge torchattacks' ℓ2 patterns would cross."""
    height, width = x.shape[2:]
    size = height // 5
    margin = (height - 5 * size) // 2
    window = max(round((0.8 * height * width) ** 0.5), 3)
    window += window % 2 == 0
    fits = size == 1 or (size > 1 and margin <= min(height % size, width % size))
    if norm == "l2" and not (fits and window <= min(height, width)):
        raise DataError(
            f"the images are {height}×{width}, which Square cannot cover in ℓ2; expected square"
            " ones of 25 pixels or more (or 5 to 11): use norm='linf', or gx.APGD and gx.FAB."
        )
