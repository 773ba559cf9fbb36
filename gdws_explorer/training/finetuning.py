"""Fine-tuning: training the factors of a plan. The result is a plan of the same network again."""

from __future__ import annotations

import os
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
from gdws_explorer.training.callbacks import EpochRecord, TrainingResult
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.fitting import fit
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import AnyProgressFn, Cancel


@dataclass(frozen=True, eq=False)
class CompressedModel:
    """A compressed network with trained factors, the result of `finetune` and `cstar`.

    model : the network, in eval mode: factors, not dense kernels.
    network : the network that was compressed, with these weights (`Network.trained`): its plans are
        drawn, measured and exported like all others of that network. `network.model` is the same
        function in dense layers, which opens as a network of its own.
    plan : of `network`; it builds `model` again, up to rounding and the choice of bases.
    parent : hash of the plan from which it was trained, for its record; of the dense plan for
        `cstar`.
    entries : the epochs in which the factors were trained. best : number of the epoch with these
        weights.
    rounds, low_rank : of `cstar`, the ADMM rounds, and the epochs before the factors.
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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> CompressedModel:
    """Trains the factors of any plan, together with all other weights and BatchNorm.

        gx.finetune(net, plan, bench.train_data, gx.Recipe("pgd", eps=0.15, epochs=10, lr=0.01))

    Parameters
    ----------
    network : Network or torch.nn.Module
        The network of the plan: plain, calibrated, refitted or trained, or the dense model. It is
        not changed.
    plan : Plan
        A plan of this network.
    data : pair
        Images `(N, C, H, W)` in [0, 1] and labels `(N,)`; not those on which plans are measured.
    recipe : Recipe
        The method and its settings; a good start is a tenth of the learning rate with which the
        network was trained.
    augment, device, checkpoint, progress, cancel
        As in `training.fit`.

    Returns
    -------
    CompressedModel
        The trained network, and its plan.

    Raises
    ------
    PlanError
        The plan belongs to another network.
    ModelError, DataError, TrainingError, Cancelled
        As in `training.fit`.
    """
    network = as_network(network, data)
    built = network.build(plan, cancel=cancel)
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
    """Returns the result of a training of these choices' factors, as a plan of `network`."""
    view = network.trained(found.model)
    trained = {
        name: _trained_choice(view, found.model, name, choice) for name, choice in choices.items()
    }
    return CompressedModel(
        found.model, view, view.plan(trained), parent.hash, found.history, found.best, rounds,
        low_rank,
    )  # fmt: skip


def as_network(network: Network | nn.Module, data: tuple[Any, Any]) -> Network:
    """Returns a network unchanged; makes one of a model, with the first image as its example."""
    if isinstance(network, Network):
        return network
    return Network(network, check_data(data)[0][:1])


def _trained_choice(view: Network, model: nn.Module, name: str, choice: Choice) -> Choice:
    """Returns the choice with the trained counts if the energies would give other counts."""
    if not isinstance(choice, GDWS):
        return choice
    layer = model.get_submodule(name)
    assert isinstance(layer, GDWSConv2d)
    counts = layer.counts.cpu()
    equal = torch.equal(view.gdws(name).mego(choice.G), counts)
    return GDWS(choice.G) if equal else GDWS(choice.G, tuple(counts.tolist()))
