"""CSTAR-style compression: low rank and robustness trained together, ranks chosen globally.

After Phan, Yin, Sui, Yuan & Zonouz, "CSTAR: Towards Compact and STructured deep neural networks
with Adversarial Robustness" (AAAI 2023, arXiv 2212.01957). They have no public code; the rank
rule, ρ and the schedules are our reconstruction. With family "gdws" the same is done for GDWS
ranks, "robust GDWS training" (ours).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.training.callbacks import EpochRecord, StepInfo
from gdws_explorer.training.cstar_style.admm import Admm, AdmmHistory
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule
from gdws_explorer.training.finetuning import CompressedModel, as_network, compressed
from gdws_explorer.training.fitting import fit, split
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.checks import is_number
from gdws_explorer.utils.devices import resolve_device
from gdws_explorer.utils.modules import own_copy

RHO = (0.01, 1.0)
GENTLER = 0.3  # of the learning rate, for the factors
NORM_IMAGES = 1024  # of which BatchNorm takes its statistics, before the factors are trained


@dataclass(frozen=True, eq=False)
class CstarProgress:
    """What is known while `cstar` works.

    phase : "low rank", the training towards low rank, or "factors", that of the factors.
    known : of this phase. rounds : what the projections found so far. low_rank : the epochs before
    the factors, once they are over.
    """

    phase: Literal["low rank", "factors"]
    known: StepInfo
    rounds: AdmmHistory
    low_rank: tuple[EpochRecord, ...] = ()


def cstar(
    network: Network | nn.Module,
    data: tuple[Any, Any],
    recipe: Recipe,
    *,
    ratio: float | None = None,
    params: float | None = None,
    macs: float | None = None,
    family: Literal["tucker2", "gdws"] = "tucker2",
    skip: Collection[str] | None = None,
    rule: RankRule | None = None,
    rho: tuple[float, float] = RHO,
    tuning: Recipe | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[float, CstarProgress], None] | None = None,
    cancel: Cancel = None,
) -> CompressedModel:
    """Train a network to low rank under one budget, factorise it, and train the factors.

        recipe = gx.Recipe("pgd", eps=8/255, epochs=60, lr=0.05)
        small = gx.cstar(net, data, recipe, ratio=8)
        gx.evaluate(small.model, test, gx.PGD(8/255))

    Parameters
    ----------
    network : a Network or a model, trained or not. It is not changed.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`, not those that plans are measured on.
    recipe : how the network is trained towards low rank; "trades" and "fast" are possible too.
        What it says of validation and averages is for the factors: before them neither is used.
    ratio, params, macs : the budget, exactly one of them: how many times fewer parameters, or a
        fraction in (0, 1] of the dense network's parameters or MACs. It holds exactly, all that
        stays dense and BatchNorm included.
    family : "tucker2" as CSTAR has it, or "gdws" (ours).
    skip : layers that stay dense; None for those that the network's budgets skip.
    rule : how ranks are chosen, see `Rule`.
    rho : the penalty's weight in the first and the last epoch, geometric in between.
    tuning : how the factors are trained; by default like the network, for half as many epochs at
        a third of the learning rate.
    augment : images `(B, C, H, W)` to images, before the attack, in both trainings.
    device : where to train; the network's unless given, where the result is too.
    checkpoint : a file, written after every epoch, and `….factors.…` beside it in the second
        training; a killed run goes on from there to the same weights on the same device.
    progress : called with (fraction done, what is known) after every step.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    BudgetError : the budget is none, or lies below what the network needs at the least ranks.
    ModelError, DataError, TrainingError, Cancelled : as in `training.fit`.
    """
    images, labels = check_data(data)
    network = as_network(network, data)
    room = RankBudget.of(network, family, ratio=ratio, params=params, macs=macs, skip=skip)
    rule = rule or RankRule()
    tuning = tuning or factor_recipe(recipe)
    model = own_copy(network.model, trainable=True).requires_grad_(True)
    model = model.to(resolve_device(device, model))
    admm = Admm(model, room, rule, weights_checkpoint(rho, recipe.epochs))
    learned, _ = split(images, labels, tuning)  # what is held out then, must not be known now
    share = recipe.epochs / (recipe.epochs + tuning.epochs)

    def tell(
        phase: Literal["low rank", "factors"], before: tuple[EpochRecord, ...] = ()
    ) -> Callable[[float, StepInfo], None] | None:
        if progress is None:
            return None
        begin, part = (0.0, share) if phase == "low rank" else (share, 1 - share)
        return lambda done, known: progress(
            begin + part * done, CstarProgress(phase, known, admm.rounds, before)
        )

    dense = fit(
        model,
        learned,
        replace(recipe, validation=0.0, patience=None, average=None),
        augment=augment,
        penalty=admm.penalty,
        after_epoch=admm.after_epoch,
        extra=admm,
        about={"cstar": {"family": family, "measure": room.measure, "most": room.most,
                         "layers": list(room.layers), "rule": asdict(rule), "rho": list(rho)}},
        checkpoint=checkpoint,
        progress=tell("low rank"),
        cancel=cancel,
    )  # fmt: skip
    low = network.trained(dense.model)
    seen = learned[0][:NORM_IMAGES].to(network.example)
    start = low.build(low.plan(admm.choices), batchnorm=seen)
    found = fit(
        start,
        data,
        tuning,
        augment=augment,
        device=device,
        checkpoint=None if checkpoint is None else factors_checkpoint(checkpoint),
        progress=tell("factors", dense.history),
        cancel=cancel,
    )
    return compressed(network, found, admm.choices, network.plan(), admm.rounds, dense.history)


def factor_recipe(recipe: Recipe) -> Recipe:
    """How factors are trained, unless somebody says otherwise."""
    epochs = math.ceil(recipe.epochs / 2)
    return replace(recipe, epochs=epochs, lr=GENTLER * recipe.lr)


def weights_checkpoint(rho: tuple[float, float], epochs: int) -> list[float]:
    """The penalty's weight in every epoch: from the first to the last, growing geometrically."""
    try:
        first, last = rho
        good = is_number(first) and is_number(last) and first > 0 and last > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise DataError(f"rho is {rho!r}; expected two positive numbers, for first and last epoch.")
    growth = (last / first) ** (1 / max(1, epochs - 1))
    return [first * growth**epoch for epoch in range(epochs)]


def factors_checkpoint(checkpoint: str | os.PathLike[str]) -> Path:
    """The checkpoint of the factors."""
    path = Path(checkpoint)
    return path.with_name(f"{path.stem}.factors{path.suffix}")
