"""Training state: a network, its average and its optimizer, with one gradient step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.training.amp import MixedPrecision, half_of
from gdws_explorer.training.losses import loss_of
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import CancellableModel
from gdws_explorer.utils.devices import device_of, resolve_device
from gdws_explorer.utils.model_state import is_extra, state_tensors
from gdws_explorer.utils.modules import own_copy, packed_weights
from gdws_explorer.utils.precision import CastingModel
from gdws_explorer.utils.rng import RngStream
from gdws_explorer.utils.tensors import all_finite

Penalty = Callable[[nn.Module], Tensor]
"""The training copy of a network to a number that is added to its loss."""


class TrainState:
    """A copy of a model, its average, its optimizer and its random numbers.

    network : the copy, in the modes in which it learns. result : the network that a training
        returns: the average if the recipe has one, else the copy itself.
    device, half : where it computes, and the 16-bit type that it computes in, or None.
    original_device : the device of the given model.
    random : the stream of order, noise and augmentation.
    recipe : the recipe; with more steps of the attack after `set_attack_steps`.
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
        self.original_device, self.device = device_of(mine), resolve_device(device, mine)
        self.network = mine.to(self.device)
        if not self.network.training:
            self.network.train()
        packed = packed_weights(self.network)
        if packed is not None:
            raise ModelError(
                f"{packed} holds packed quantised weights, which cannot be trained; train the "
                "network before it is quantised, and quantise the result."
            )
        trained = [each for each in self.network.parameters() if each.requires_grad]
        if not trained:
            raise ModelError("no parameter of the model requires a gradient; nothing to train.")
        self.half = half_of(self.device) if recipe.amp else None
        self.optimizer = torch.optim.SGD(
            trained,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)
        self.average = None if recipe.average is None else copy.deepcopy(self.network)
        self.steps = 0
        self.random = RngStream(self.device, recipe.seed)
        self._penalty = penalty
        inner = self.network if self.half is None else MixedPrecision(self.network, self.half)
        self._casting = CastingModel(inner)
        self._cancellable = CancellableModel(self._casting, cancel)
        self._set_recipe(recipe)

    @property
    def result(self) -> nn.Module:
        """The network that a training returns: the average, or the trained copy."""
        return self.network if self.average is None else self.average

    @property
    def overflow(self) -> str | None:
        """The layer that overflowed in float16, as a sentence; None where none did."""
        return self._casting.overflow

    def set_attack_steps(self, steps: int) -> None:
        """Learns from an attack of so many steps from now on."""
        self._set_recipe(replace(self.recipe, steps=steps, step_size=None))

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
        """Returns the loss on a batch, and how many of the images learned from are correct."""
        loss, scores = self._loss(x, y)
        correct = int((scores.detach().argmax(1) == y).sum())
        return loss if self._penalty is None else loss + self._penalty(self.network), correct

    def step(self, loss: Tensor, lr: float) -> None:
        """Takes one gradient step, and updates the average."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.steps += 1
        if self.average is not None and self.recipe.average is not None:
            _update_average(self.average, self.network, min(self.recipe.average, self._early_decay))

    def deterministic(self) -> AbstractContextManager[None]:
        """Makes cuDNN choose the same algorithm in every run; no effect on other devices."""
        return torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True
        )

    def is_finite(self) -> bool:
        """Whether no weight or buffer is NaN or infinite."""
        return all(
            all_finite(each)
            for each in state_tensors(self.network).values()
            if each.is_floating_point()
        )

    # -- everything that decides the next steps ----------------------------------------------

    def capture(self) -> dict[str, Any]:
        """Returns copies of weights, average, momentum and random states, by name.

        All are tensors but for entries of a state_dict that are none, such as `_extra_state`.
        """
        tensors = {f"network.{name}": each for name, each in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"mean.{name}": each for name, each in self.average.state_dict().items()}
        for index, parameter in enumerate(self._trained()):
            buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{index}"] = buffer
        if self.scaler.is_enabled():
            scaler = self.scaler.state_dict()
            tensors["scaler.scale"] = torch.tensor(scaler["scale"], dtype=torch.float64)
            tensors["scaler.growth"] = torch.tensor(scaler["_growth_tracker"])
        tensors["steps"] = torch.tensor(self.steps)
        tensors |= {f"random.{name}": each for name, each in self.random.state.items()}
        return copied_state(tensors)

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Restores the state that `capture` returned.

        Raises KeyError or RuntimeError if the tensors do not fit.
        """
        self.network.load_state_dict(without_prefix(tensors, "network."))
        if self.average is not None:
            self.average.load_state_dict(without_prefix(tensors, "mean."))
        self.optimizer.state.clear()
        for index, parameter in enumerate(self._trained()):
            if f"momentum.{index}" in tensors:
                # In the memory layout of the parameter, which may have channels last.
                buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{index}"])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer.detach()
        if self.scaler.is_enabled():
            scaler = self.scaler.state_dict()
            scaler["scale"] = float(tensors["scaler.scale"])
            scaler["_growth_tracker"] = int(tensors["scaler.growth"])
            self.scaler.load_state_dict(scaler)
        self.steps = int(tensors["steps"])
        self.random.state = {name: tensors[f"random.{name}"].cpu() for name in self.random.state}

    @property
    def _early_decay(self) -> float:
        """Decay of the average in the first steps: smaller, to forget the initial weights."""
        return (1 + self.steps) / (10 + self.steps)

    def _trained(self) -> list[nn.Parameter]:
        return list(self.optimizer.param_groups[0]["params"])

    def _set_recipe(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._loss = loss_of(self._cancellable, recipe)


def copied_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns copies of a state's tensors and of its other entries."""
    return {
        name: each.detach().clone() if isinstance(each, Tensor) else copy.deepcopy(each)
        for name, each in state.items()
    }


def without_prefix(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Returns the entries whose name begins with `prefix`, by the rest of their name."""
    return {name[len(prefix) :]: each for name, each in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights and BatchNorm statistics towards the model's."""
    state = model.state_dict()
    for name, slow in state_tensors(average).items():
        if slow.is_floating_point():
            slow.lerp_(state[name], 1 - decay)
        else:
            slow.copy_(state[name])
    extra = {name: each for name, each in state.items() if is_extra(name)}
    if extra:
        average.load_state_dict(copied_state(extra), strict=False)
