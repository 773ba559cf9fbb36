"""How long a training will take: by a few of its steps, timed, or by a guess from its MACs."""

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
from gdws_explorer.training.recipe import CHECKING_STEPS, Recipe
from gdws_explorer.training.train_state import TrainState
from gdws_explorer.training.training_spec import FINETUNE, TrainingSpec
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.modules import own_copy

SPEED = 1e10  # multiply-accumulates per second: a guess, of two cores or one
LEARNING = 3  # a forward and a backward pass, in forward passes
TRIAL = 0.5  # seconds that one timed step should take at most, by the guess
STEPS = 2  # that are timed, after one that is not


@dataclass(frozen=True)
class TrainingTime:
    """Seconds that a training takes.

    low_rank, factors : for an image learned from, in either part. judge : for a held-out image.
    project : for a projection. timed : whether they were measured; else they are guessed.
    """

    low_rank: float
    factors: float
    judge: float
    project: float
    timed: bool

    def seconds(self, task: TrainingSpec, images: int, done: int = 0) -> float:
        """Of the whole training on so many images, or what is left after so many epochs."""
        held = round(images * task.tuning.validation)
        first, second = task.planned
        first, second = max(0, first - done), second - max(0, done - first)
        low = first * ((images - held) * self.low_rank + self.project)
        return low + second * ((images - held) * self.factors + held * self.judge)

    def times(self, share: float) -> TrainingTime:
        """The same for a plan of so many times the MACs, which is a guess."""
        return TrainingTime(
            share * self.low_rank, share * self.factors, share * self.judge, self.project, False
        )


def guess_time(task: TrainingSpec, network: Network) -> TrainingTime:
    """The pace of a training of which nothing is known but the network's size."""
    pair = LEARNING * network.macs / SPEED
    learn = passes(task.recipe) * pair
    judged = 1 / LEARNING + (CHECKING_STEPS if task.recipe.judge is not None else 0)
    return TrainingTime(learn, learn, judged * pair, 0.0, timed=False)


def time_steps(
    task: TrainingSpec,
    network: Network,
    plan: Plan,
    data: tuple[Tensor, Tensor],
    cancel: Cancel = None,
) -> TrainingTime:
    """The pace of a training, by a few steps on copies; takes seconds.

    network, plan : as `Task.run` takes them. Errors: as there, and Cancelled.
    """
    guess = guess_time(task, network).low_rank
    count = max(2, min(task.recipe.batch_size, len(data[1]), int(TRIAL / guess)))
    batch = data[0][:count], data[1][:count]
    low_rank = tidy = 0.0
    if task.kind != FINETUNE:
        dense = own_copy(network.model, trainable=True).requires_grad_(True)
        low_rank = _step(dense, batch, task.recipe, cancel)
        room = RankBudget.of(network, **task.budget)
        weights = dict(dense.named_parameters())
        kernels = {name: weights[f"{name}.weight"].detach() for name in room.layers}
        started = time.perf_counter()
        plan = network.plan(project(kernels, room).choices)
        tidy = time.perf_counter() - started
    small = network.build(plan)
    factors = _step(small, batch, task.tuning, cancel)
    started = time.perf_counter()
    evaluate(small, batch, task.tuning.judge, cancel=cancel)
    judge = (time.perf_counter() - started) / count
    return TrainingTime(low_rank, factors, judge, tidy, timed=True)


def passes(recipe: Recipe) -> int:
    """How often an image goes forward and back when it is learned from."""
    if recipe.method == "trades":
        return (recipe.steps or 10) + 2
    attack = recipe.strike
    steps = 0 if attack is None else getattr(attack, "steps", 1)
    return steps + 1 + (1 if attack is not None and recipe.clean_weight > 0 else 0)


def _step(model: nn.Module, batch: tuple[Tensor, Tensor], recipe: Recipe, cancel: Cancel) -> float:
    """Seconds for an image of a gradient step."""
    with torch.inference_mode(False), torch.enable_grad():
        learner = TrainState(model, recipe, None, cancel)
        x, y = (each.to(learner.device) for each in batch)
        with learner.random.drawing(), learner.deterministic():
            for step in range(1 + STEPS):
                if step == 1:  # the first one makes what the others use
                    _settle(learner.device)
                    started = time.perf_counter()
                learner.step(learner.loss(x, y)[0], lr=0.0)
            _settle(learner.device)
    return (time.perf_counter() - started) / STEPS / len(y)


def _settle(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
