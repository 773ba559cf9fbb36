"""The attacks carried out by torchattacks 3.3, without a trace on the model or the random state.

torchattacks is imported here and takes a second: import this module where an attack begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torchattacks
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import TARGETS
from gdws_explorer.robust.data_checks import check_logits
from gdws_explorer.robust.torchattacks_fixes import (
    DeterministicAPGD,
    DeterministicSquare,
    TargetedAPGD,
    TorchattacksAdapter,
)
from gdws_explorer.utils.modules import no_parameter_grads, preserve_modes
from gdws_explorer.utils.rng import exclusive_rng

if TYPE_CHECKING:
    from gdws_explorer.robust.attack_base import AttackFn
    from gdws_explorer.robust.attacks import PGD
    from gdws_explorer.robust.autoattack import APGD, FAB, AutoAttack, Square

NORM = {"linf": "Linf", "l2": "L2"}


def pgd(model: nn.Module, spec: PGD) -> AttackFn:
    """PGD, point-wise worst case over its restarts."""
    settings = {"alpha": spec.step_size, "steps": spec.steps, "random_start": spec.random_start}
    if spec.norm == "linf":
        strike: AttackFn = torchattacks.PGD(model, eps=spec.eps, **settings)
    else:
        strike = _contiguous(
            torchattacks.PGDL2(TorchattacksAdapter(model), eps=spec.eps, **settings)
        )
    return strike if spec.restarts == 1 else _worst_of(model, [strike] * spec.restarts)


def apgd(model: nn.Module, spec: APGD) -> AttackFn:
    """APGD-CE, APGD-DLR or APGD-T."""
    settings = {
        "norm": NORM[spec.norm],
        "eps": spec.eps,
        "steps": spec.steps,
        "n_restarts": spec.restarts,
    }
    if spec.targeted:
        return _carried(TargetedAPGD(TorchattacksAdapter(model), **settings), "APGD-T", classes=4)
    attack = DeterministicAPGD(TorchattacksAdapter(model), loss=spec.loss, **settings)
    return _carried(attack, f"APGD-{spec.loss.upper()}", classes=3 if spec.loss == "dlr" else 2)


def fab(model: nn.Module, spec: FAB) -> AttackFn:
    """FAB-T."""
    attack = torchattacks.FAB(
        TorchattacksAdapter(model),
        norm=NORM[spec.norm],
        eps=spec.eps,
        steps=spec.steps,
        n_restarts=spec.restarts,
        multi_targeted=True,
        n_classes=TARGETS + 1,
    )
    return _carried(attack, "FAB-T", classes=2)


def square(model: nn.Module, spec: Square) -> AttackFn:
    """The Square attack."""
    attack = DeterministicSquare(
        TorchattacksAdapter(model),
        norm=NORM[spec.norm],
        eps=spec.eps,
        n_queries=spec.queries,
        n_restarts=spec.restarts,
    )
    carried = _carried(attack, "Square", classes=2)

    def strike(x: Tensor, y: Tensor) -> Tensor:
        _check_square(spec.norm, x)
        return carried(x, y)

    return strike


def ensemble(model: nn.Module, spec: AutoAttack) -> AttackFn:
    """Point-wise worst case over the ensemble's parts.

    torchattacks' own AutoAttack runs APGD and FAB for 10 steps instead of 100, seeds itself with
    the time, and aims at every class of however many.
    """
    faced = TorchattacksAdapter(model)
    strikes = [part.bind(model) for part in spec.parts]

    def strike(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad(), _undisturbed(faced):
            _check_classes(faced, x, y, "AutoAttack", 4)
        _check_square(spec.norm, x)
        # Every part draws the seed that it would draw alone, so it fools what it would fool alone.
        state = torch.get_rng_state()
        return _worst_of(model, [_from(state, one) for one in strikes])(x, y)

    return strike


def _from(state: Tensor, one: AttackFn) -> AttackFn:
    def strike(x: Tensor, y: Tensor) -> Tensor:
        torch.set_rng_state(state)
        return one(x, y)

    return strike


def _worst_of(model: nn.Module, strikes: Sequence[AttackFn]) -> AttackFn:
    """Every strike on what the ones before left standing; an image keeps what fooled it."""

    def strike(x: Tensor, y: Tensor) -> Tensor:
        attacked = x.clone()
        at = torch.arange(len(x), device=x.device)
        with _undisturbed(model):
            for turn, one in enumerate(strikes, 1):
                found = one(x[at], y[at]).to(attacked)
                attacked[at] = found
                if turn < len(strikes):
                    with torch.no_grad():
                        at = at[_right(model, found, y[at])]
                if not len(at):
                    break
        return attacked

    return strike


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """As `evaluate` judges: a row with a NaN is wrong."""
    scores = model(x)
    return (scores.argmax(1) == y) & torch.isfinite(scores).all(1)


def _carried(attack: Any, who: str, classes: int) -> AttackFn:
    """`attack`, of the kind that seeds torch's generators itself, as a strike without a trace.

    The seed is drawn from torch's generator, which so moves on by one number and decides.
    """

    def strike(x: Tensor, y: Tensor) -> Tensor:
        seed = int(torch.randint(2**31, ()))
        # APGD without gradients: it asks for those it needs, and would keep a graph of all steps.
        with torch.no_grad(), _undisturbed(attack.model), exclusive_rng(attack.device):
            found = _check_classes(attack.model, x, y, who, classes)
            attack.seed = seed
            attack.n_target_classes = min(TARGETS, found - 1)
            # FAB computes in single precision, whatever it is given.
            return attack(x.float().contiguous(), y).to(x)

    return strike


def _contiguous(attack: Any) -> AttackFn:
    def strike(x: Tensor, y: Tensor) -> Tensor:
        with _undisturbed(attack.model):
            return attack(x.contiguous(), y)

    return strike


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """In eval mode, without gradients for the parameters (FAB would leave some); then as before."""
    with preserve_modes(model), no_parameter_grads(model):
        model.eval()
        yield


def _check_classes(model: nn.Module, x: Tensor, y: Tensor, who: str, least: int) -> int:
    """How many classes the model scores. Raises DataError for fewer than `least`."""
    found = check_logits(model(x[:1]), y[:1]).shape[1]
    if found < least:
        raise DataError(
            f"{who} needs scores of at least {least} classes, and the model has {found}; use"
            " gx.PGD, gx.APGD with loss='ce', gx.FAB or gx.Square."
        )
    return found


def _check_square(norm: str, x: Tensor) -> None:
    """Raises DataError for images that torchattacks' ℓ2 patterns run over the edge of."""
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
