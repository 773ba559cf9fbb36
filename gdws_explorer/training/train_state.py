"""The network that learns, its average, and its optimiser: one step, and all of its state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.training.amp import MixedPrecision, half_of
from gdws_explorer.training.losses import loss_of
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import CancellableModel
from gdws_explorer.utils.devices import device_of, resolve_device
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.rng import RngStream

Penalty = Callable[[nn.Module], Tensor]


class TrainState:
    """A copy of a model and what trains it.

    network : the copy, in the modes it learns in. answer : what a training returns of it: its
        average where the recipe has one, else the copy itself.
    device, half : where it computes, and the 16-bit type that it computes in, or None. home :
        where the model came from.
    random : order, noise and augmentation are drawn from it.
    recipe : the recipe; with more steps of the attack after `harden`.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        penalty: Penalty | None,
        cancel: Cancel,
        device: str | torch.device | None = None,
    ) -> None:
        mine = own_copy(model, trainable=True)
        self.home, self.device = device_of(mine), resolve_device(device, mine)
        self.network = mine.to(self.device)
        if not self.network.training:
            self.network.train()
        trained = [each for each in self.network.parameters() if each.requires_grad]
        if not trained:
            raise ModelError("no parameter of the model requires a gradient; nothing to train.")
        self.half = half_of(self.device) if recipe.amp else None
        if self.half is not None:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.SGD(
            trained,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)
        self.mean = None if recipe.average is None else copy.deepcopy(self.network)
        self.steps = 0
        self.random = RngStream(self.device, recipe.seed)
        self._penalty = penalty
        inner = self.network if self.half is None else MixedPrecision(self.network, self.half)
        self._watched = CancellableModel(inner, cancel)
        self._follow_recipe(recipe)

    @property
    def answer(self) -> nn.Module:
        """The network whose weights count."""
        return self.network if self.mean is None else self.mean

    def harden(self, attack_steps: int) -> None:
        """Learn from an attack of so many steps from now on."""
        self._follow_recipe(replace(self.recipe, steps=attack_steps, step_size=None))

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
        """The loss on a batch, and how many of the images learned from were right."""
        loss, scores = self._loss(x, y)
        correct = int((scores.detach().argmax(1) == y).sum())
        return loss if self._penalty is None else loss + self._penalty(self.network), correct

    def step(self, loss: Tensor, lr: float) -> None:
        """Follow the loss's slope, and let the average follow the network."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.steps += 1
        if self.mean is not None and self.recipe.average is not None:
            _follow(self.mean, self.network, min(self.recipe.average, self._trust))

    def deterministic(self) -> AbstractContextManager[None]:
        """Let cuDNN choose the same way in every run; nothing elsewhere."""
        return torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True
        )

    def finite(self) -> bool:
        """Whether every weight and buffer is a number."""
        return all(
            bool(torch.isfinite(each).all())
            for each in self.network.state_dict().values()
            if each.is_floating_point()
        )

    # -- its state: everything that decides the steps to come -------------------------------

    def capture(self) -> dict[str, Tensor]:
        """Copies of the weights, the average, the momentum and the random states, by name."""
        held = {f"network.{name}": each for name, each in self.network.state_dict().items()}
        if self.mean is not None:
            held |= {f"mean.{name}": each for name, each in self.mean.state_dict().items()}
        for index, parameter in enumerate(self._trained()):
            buffer = self.optimiser.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                held[f"momentum.{index}"] = buffer
        if self.scaler.is_enabled():
            told = self.scaler.state_dict()
            held["scaler.scale"] = torch.tensor(told["scale"], dtype=torch.float64)
            held["scaler.growth"] = torch.tensor(told["_growth_tracker"])
        held["steps"] = torch.tensor(self.steps)
        held |= {f"random.{name}": each for name, each in self.random.state.items()}
        return {name: each.detach().clone() for name, each in held.items()}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Be as `capture` found it. Raises KeyError or RuntimeError where it does not fit."""
        self.network.load_state_dict(part(held, "network."))
        if self.mean is not None:
            self.mean.load_state_dict(part(held, "mean."))
        self.optimiser.state.clear()
        for index, parameter in enumerate(self._trained()):
            if f"momentum.{index}" in held:
                # As the parameter lies in memory, the channels last where they are.
                buffer = torch.empty_like(parameter).copy_(held[f"momentum.{index}"])
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.detach()
        if self.scaler.is_enabled():
            told = self.scaler.state_dict()
            told["scale"] = float(held["scaler.scale"])
            told["_growth_tracker"] = int(held["scaler.growth"])
            self.scaler.load_state_dict(told)
        self.steps = int(held["steps"])
        self.random.state = {name: held[f"random.{name}"].cpu() for name in self.random.state}

    @property
    def _trust(self) -> float:
        """The average's decay while it is young, when it would hold on to the random weights."""
        return (1 + self.steps) / (10 + self.steps)

    def _trained(self) -> list[nn.Parameter]:
        return list(self.optimiser.param_groups[0]["params"])

    def _follow_recipe(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._loss = loss_of(self._watched, recipe)


def part(held: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What begins with `prefix`, without it."""
    return {name[len(prefix) :]: each for name, each in held.items() if name.startswith(prefix)}


@torch.no_grad()
def _follow(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and BatchNorm statistics towards the model's."""
    for slow, fast in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)
