"""CSTAR-style training: low rank and robustness together, with ranks chosen over all layers.

After Phan, Yin, Sui, Yuan & Zonouz, "CSTAR: Towards Compact and STructured deep neural networks
with Adversarial Robustness" (AAAI 2023, arXiv 2212.01957). Their code is not public; the rank
rule, ρ and the schedules are our reconstruction. Family "gdws" does the same for GDWS ranks,
"robust GDWS training" (ours).
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
from gdws_explorer.typing import AnyProgressFn, Cancel, Progress, ProgressFn
from gdws_explorer.utils.checks import is_number
from gdws_explorer.utils.devices import resolve_device
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import progress_fn

RHO = (0.01, 1.0)
FACTOR_LR = 0.3  # times the learning rate, for the factors
BATCHNORM_IMAGES = 1024  # for the statistics of BatchNorm, before the factors are trained


@dataclass(frozen=True, eq=False)
class CstarProgress:
    """The detail of `progress` while `cstar` works.

    phase : "low rank", the training towards low rank, or "factors", the training of the factors.
    step : the step of this phase. rounds : the ADMM rounds so far. low_rank : in the second phase
    the epochs of the first, else empty.
    """

    phase: Literal["low rank", "factors"]
    step: StepInfo
    rounds: AdmmHistory
    low_rank: tuple[EpochRecord, ...] = ()

    @property
    def known(self) -> StepInfo:
        """The name of `step` in version 0.1."""
        return self.step


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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> CompressedModel:
    """Trains a network to low rank under one budget, factorises it, and trains the factors.

        recipe = gx.Recipe("pgd", eps=8/255, epochs=60, lr=0.05)
        small = gx.cstar(net, data, recipe, ratio=8)
        gx.evaluate(small.model, test, gx.PGD(8/255))

    Parameters
    ----------
    network : Network or torch.nn.Module
        The network or model, trained or not. It is not changed.
    data : pair
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`; not those on which plans are measured.
    recipe : Recipe
        For the training towards low rank; "trades" and "fast" are possible too. Its validation and
        average are used for the factors only.
    ratio, params, macs : float
        The budget, exactly one of them: how many times fewer parameters, or a fraction in (0, 1] of
        the dense network's parameters or MACs. It holds exactly, with all dense layers and
        BatchNorm included.
    family : {"tucker2", "gdws"}
        "tucker2" as in CSTAR, or "gdws" (ours).
    skip : collection of str, optional
        Layers that stay dense; None for the layers that the network's budgets skip.
    rule : RankRule, optional
        Settings for the choice of ranks.
    rho : pair of float
        The penalty's weight in the first and in the last epoch, geometric in between.
    tuning : Recipe, optional
        For the training of the factors; by default `recipe` with half as many epochs at a third of
        the learning rate.
    augment : callable, optional
        Images `(B, C, H, W)` to images, before the attack, in both trainings.
    device : str, torch.device or None
        Where to train; None for the network's device. The result is on the network's device.
    checkpoint : path, optional
        A file that is written after every epoch; the second training writes a file with ".factors"
        in its name in the same folder. An interrupted run goes on from there, on the same device to
        the same weights.
    progress : callable, optional
        Called after every step with a `Progress` whose detail is a `CstarProgress`.
    cancel : threading.Event or callable, optional
        A request to stop, checked before every forward pass.

    Returns
    -------
    CompressedModel
        The trained network, its plan and the history of both trainings.

    Raises
    ------
    BudgetError
        The budget is not valid, or lower than the network's cost at the least ranks.
    ModelError, DataError, TrainingError, Cancelled
        As in `training.fit`.
    """
    images, labels = check_data(data)
    network = as_network(network, data)
    budget = RankBudget.of(network, family, ratio=ratio, params=params, macs=macs, skip=skip)
    rule = rule or RankRule()
    tuning = tuning or factor_recipe(recipe)
    model = own_copy(network.model, trainable=True).requires_grad_(True)
    model = model.to(resolve_device(device, model))
    admm = Admm(model, budget, rule, penalty_weights(rho, recipe.epochs))
    # Without the images that are held out for the factors.
    learned, _ = split(images, labels, tuning)
    share = recipe.epochs / (recipe.epochs + tuning.epochs)
    report = progress_fn(progress)

    def phase_progress(
        phase: Literal["low rank", "factors"], low_rank: tuple[EpochRecord, ...] = ()
    ) -> ProgressFn | None:
        if report is None:
            return None
        start, length = (0.0, share) if phase == "low rank" else (share, 1 - share)

        def step_progress(step: Progress) -> None:
            detail = CstarProgress(phase, step.detail, admm.rounds, low_rank)
            report(Progress(start + length * step, detail))

        return step_progress

    dense = fit(
        model,
        learned,
        replace(recipe, validation=0.0, patience=None, average=None),
        augment=augment,
        penalty=admm.penalty,
        after_epoch=admm.after_epoch,
        extra=admm,
        about={"cstar": {"family": family, "measure": budget.measure, "most": budget.limit,
                         "layers": list(budget.layers), "rule": asdict(rule), "rho": list(rho)}},
        checkpoint=checkpoint,
        progress=phase_progress("low rank"),
        cancel=cancel,
    )  # fmt: skip
    low_rank_view = network.trained(dense.model)
    batchnorm = learned[0][:BATCHNORM_IMAGES].to(network.example)
    start = low_rank_view.build(low_rank_view.plan(admm.choices), batchnorm=batchnorm)
    found = fit(
        start,
        data,
        tuning,
        augment=augment,
        device=device,
        checkpoint=None if checkpoint is None else factors_checkpoint(checkpoint),
        progress=phase_progress("factors", dense.history),
        cancel=cancel,
    )
    return compressed(network, found, admm.choices, network.plan(), admm.rounds, dense.history)


def factor_recipe(recipe: Recipe) -> Recipe:
    """Returns the default recipe for the factors."""
    epochs = math.ceil(recipe.epochs / 2)
    return replace(recipe, epochs=epochs, lr=FACTOR_LR * recipe.lr)


def penalty_weights(rho: tuple[float, float], epochs: int) -> list[float]:
    """Returns the penalty's weight in every epoch: a geometric sequence from first to last."""
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
    """Returns the checkpoint file of the factors."""
    path = Path(checkpoint)
    return path.with_name(f"{path.stem}.factors{path.suffix}")
