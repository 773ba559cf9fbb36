"""Training the factors of a plan, and what comes of it: a plan again, on the same front."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.data_checks import check_data
from gdws_explorer.training.callbacks import EpochRecord, StepInfo, TrainingResult
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.fitting import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import Cancel


@dataclass(frozen=True, eq=False)
class CompressedModel:
    """A compressed network whose factors were trained.

    model : the network, in eval mode: factors, not dense kernels.
    network : the network that was compressed, with these weights (`Network.trained`): what it
        makes is drawn, measured and exported as everything else of that network is.
        `network.model` is the same function in dense layers, which opens as a network of its own.
    plan : of `network`; builds `model` again, up to rounding and the choice of bases.
    parent : hash of the plan that it was made from, for its record; of `cstar`, the dense one.
    entries : the epochs in which the factors were trained. best : the number of the one whose
        weights these are.
    rounds, low_rank : of `cstar`, what its projections found, and its epochs before the factors.
    """

    model: nn.Module
    network: Network
    plan: Plan
    parent: str
    entries: tuple[EpochRecord, ...]
    best: int
    rounds: AdmmHistory | None = None
    low_rank: tuple[EpochRecord, ...] = ()


def finetune(
    network: Network | nn.Module,
    plan: Plan,
    data: tuple[Any, Any],
    recipe: Recipe,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[float, StepInfo], None] | None = None,
    cancel: Cancel = None,
) -> CompressedModel:
    """Train the factors of any plan, all other weights and BatchNorm with them.

        gx.finetune(net, plan, bench.train_data, gx.Recipe("pgd", eps=0.15, epochs=10, lr=0.01))

    Parameters
    ----------
    network : what the plan was made for: a Network, plain, calibrated, refitted or trained, or the
        dense model. It is not changed.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)`, not those that plans are measured on.
    recipe : how to train; a tenth of the learning rate that the network was trained with is a
        good beginning.
    augment, device, checkpoint, progress, cancel : as in `training.fit`.

    Raises
    ------
    PlanError : the plan is not this network's. ModelError, DataError, TrainingError, Cancelled : as
    in `training.fit`.
    """
    network = as_network(network, data)
    stop = cancel.is_set if isinstance(cancel, threading.Event) else cancel
    built = network.build(plan, cancel=stop)
    found = fit(
        built, data, recipe, augment=augment, device=device, checkpoint=checkpoint,
        progress=progress, cancel=cancel,
    )  # fmt: skip
    return compressed(network, found, dict(plan), plan)


def compressed(
    network: Network,
    found: TrainingResult,
    choices: Mapping[str, Choice],
    parent: Plan,
    rounds: AdmmHistory | None = None,
    low_rank: tuple[EpochRecord, ...] = (),
) -> CompressedModel:
    """What a training of these choices' factors came to, as a plan of `network`."""
    view = network.trained(found.model)
    kept = {name: _kept(view, found.model, name, choice) for name, choice in choices.items()}
    return CompressedModel(
        found.model, view, view.plan(kept), parent.hash, found.history, found.best, rounds,
        low_rank,
    )  # fmt: skip


def as_network(network: Network | nn.Module, data: tuple[Any, Any]) -> Network:
    """A network as it is; a model with the first image as its example."""
    if isinstance(network, Network):
        return network
    return Network(network, check_data(data)[0][:1])


def _kept(view: Network, model: nn.Module, name: str, choice: Choice) -> Choice:
    """The same choice, with the counts that were trained where energy alone would change them."""
    if not isinstance(choice, GDWS):
        return choice
    layer = model.get_submodule(name)
    assert isinstance(layer, GDWSConv2d)
    counts = layer.counts.cpu()
    alike = torch.equal(view.gdws(name).mego(choice.G), counts)
    return GDWS(choice.G) if alike else GDWS(choice.G, tuple(counts.tolist()))
