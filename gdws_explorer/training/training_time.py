"""Duration of a training: measured on a few of its steps, or guessed from its MACs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.training.cstar_style.projection import project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget
from gdws_explorer.training.recipe import VALIDATION_STEPS, Recipe
from gdws_explorer.training.train_state import TrainState
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.devices import as_images
from gdws_explorer.utils.modules import own_copy

SPEED = 1e10  # multiply-accumulates per second: a guess for one or two cores
FORWARD_BACKWARD = 3  # time of a forward and a backward pass, in forward passes
LONGEST_STEP = 0.5  # seconds that one timed step may take, by the guess
STEPS = 2  # timed steps, after one that is not timed


@dataclass(frozen=True)
class TrainingTime:
    """Seconds that the parts of a training take.

    low_rank, factors : per image learned from, in either part. validation : per held-out image.
    project : per projection. timed : whether they were measured; else they are guessed.
    """

    low_rank: float
    factors: float
    validation: float
    project: float
    timed: bool

    def seconds(self, spec: TrainingSpec, images: int, done: int = 0) -> float:
        """Returns the seconds of a training on so many images, without the epochs already done."""
        held_out = spec.tuning.held_out(images)
        learned = images - held_out
        first, second = spec.planned
        first, second = max(0, first - done), second - max(0, done - first)
        low_rank = first * (learned * self.low_rank + self.project)
        return low_rank + second * (learned * self.factors + held_out * self.validation)

    def times(self, factor: float) -> TrainingTime:
        """Returns a guess for a plan with `factor` times the MACs."""
        return TrainingTime(
            factor * self.low_rank, factor * self.factors, factor * self.validation, self.project,
            timed=False,
        )  # fmt: skip


def guess_time(spec: TrainingSpec, network: Network) -> TrainingTime:
    """Returns a guess of the duration, from the network's size alone."""
    pair = FORWARD_BACKWARD * network.macs / SPEED
    learn = passes(spec.recipe) * pair
    attack_steps = 0 if spec.recipe.validation_attack is None else VALIDATION_STEPS
    validated = 1 / FORWARD_BACKWARD + attack_steps
    return TrainingTime(learn, learn, validated * pair, 0.0, timed=False)


def time_steps(
    spec: TrainingSpec,
    network: Network,
    plan: Plan,
    data: tuple[Tensor, Tensor],
    cancel: Cancel = None,
) -> TrainingTime:
    """Returns the duration of a training, measured on a few steps of copies; takes seconds.

    network, plan : as in `TrainingSpec.run`. Errors are the same, and Cancelled.
    """
    guess = guess_time(spec, network).low_rank
    count = max(2, min(spec.recipe.batch_size, len(data[1]), int(LONGEST_STEP / guess)))
    batch = data[0][:count], data[1][:count]
    low_rank = projection = 0.0
    if spec.kind != FINETUNE:
        dense = own_copy(network.model, trainable=True).requires_grad_(True)
        low_rank = _step(dense, batch, spec.recipe, cancel)
        budget = RankBudget.of(network, **spec.budget)
        weights = dict(dense.named_parameters())
        kernels = {name: weights[f"{name}.weight"].detach() for name in budget.layers}
        started = time.perf_counter()
        plan = network.plan(project(kernels, budget).choices)
        projection = time.perf_counter() - started
    small = network.build(plan)
    factors = _step(small, batch, spec.tuning, cancel)
    started = time.perf_counter()
    evaluate(small, batch, spec.tuning.validation_attack, cancel=cancel)
    validation = (time.perf_counter() - started) / count
    return TrainingTime(low_rank, factors, validation, projection, timed=True)


def passes(recipe: Recipe) -> int:
    """Returns how many forward and backward passes an image takes in one training step."""
    if recipe.method == "trades":
        return (recipe.steps or 10) + 2
    attack = recipe.training_attack
    steps = 0 if attack is None else getattr(attack, "steps", 1)
    return steps + 1 + (1 if attack is not None and recipe.clean_weight > 0 else 0)


def _step(model: nn.Module, batch: tuple[Tensor, Tensor], recipe: Recipe, cancel: Cancel) -> float:
    """Returns the seconds of a gradient step per image."""
    with torch.inference_mode(False), torch.enable_grad():
        state = TrainState(model, recipe, None, cancel)
        x, y = as_images(state.network, batch[0]), batch[1].to(state.device)
        with state.random.drawing(), state.deterministic():
            for step in range(1 + STEPS):
                if step == 1:  # the first step also allocates memory, and is not timed
                    _synchronize(state.device)
                    started = time.perf_counter()
                state.step(state.loss(x, y)[0], lr=0.0)
            _synchronize(state.device)
    return (time.perf_counter() - started) / STEPS / len(y)


def _synchronize(device: torch.device) -> None:
    """Waits for the work of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
