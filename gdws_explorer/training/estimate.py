"""How long a training will take: by a few of its steps, timed, or by a guess from its MACs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.evaluate import evaluate
from gdws_explorer.robust.guard import Cancel, own_copy
from gdws_explorer.training.learner import Learner
from gdws_explorer.training.projection import project
from gdws_explorer.training.recipe import CHECKING_STEPS, Recipe
from gdws_explorer.training.room import Room
from gdws_explorer.training.task import FINETUNE, Task

SPEED = 1e10  # multiply-accumulates per second: a guess, of two cores or one
LEARNING = 3  # a forward and a backward pass, in forward passes
TRIAL = 0.5  # seconds that one timed step should take at most, by the guess
STEPS = 2  # that are timed, after one that is not


@dataclass(frozen=True)
class Pace:
    """Seconds that a training takes.

    low_rank, factors : for an image learned from, in either part. judge : for a held-out image.
    project : for a projection. timed : whether they were measured; else they are guessed.
    """

    low_rank: float
    factors: float
    judge: float
    project: float
    timed: bool

    def seconds(self, task: Task, images: int, done: int = 0) -> float:
        """Of the whole training on so many images, or what is left after so many epochs."""
        held = round(images * task.tuning.validation)
        first, second = task.planned
        first, second = max(0, first - done), second - max(0, done - first)
        low = first * ((images - held) * self.low_rank + self.project)
        return low + second * ((images - held) * self.factors + held * self.judge)

    def times(self, share: float) -> Pace:
        """The same for a plan of so many times the MACs, which is a guess."""
        return Pace(
            share * self.low_rank, share * self.factors, share * self.judge, self.project, False
        )


def guessed(task: Task, network: Network) -> Pace:
    """The pace of a training of which nothing is known but the network's size."""
    pair = LEARNING * network.macs / SPEED
    learn = passes(task.recipe) * pair
    judged = 1 / LEARNING + (CHECKING_STEPS if task.recipe.judge is not None else 0)
    return Pace(learn, learn, judged * pair, 0.0, timed=False)


def timed(
    task: Task, network: Network, plan: Plan, data: tuple[Tensor, Tensor], cancel: Cancel = None
) -> Pace:
    """The pace of a training, by a few steps on copies; takes seconds.

    network, plan : as `Task.run` takes them. Errors: as there, and Cancelled.
    """
    guess = guessed(task, network).low_rank
    count = max(2, min(task.recipe.batch_size, len(data[1]), int(TRIAL / guess)))
    batch = data[0][:count], data[1][:count]
    low_rank = tidy = 0.0
    if task.kind != FINETUNE:
        dense = own_copy(network.model).requires_grad_(True)
        low_rank = _step(dense, batch, task.recipe, cancel)
        room = Room.of(network, **task.budget)
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
    return Pace(low_rank, factors, judge, tidy, timed=True)


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
        learner = Learner(model, recipe, None, cancel)
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
