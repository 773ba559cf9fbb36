"""The attacks of an evaluation at work on one batch after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import ModelError
from gdws_explorer.robust import pgd
from gdws_explorer.robust.attack_base import Attack, AttackFn
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.data_checks import is_correct
from gdws_explorer.utils.devices import free_memory, out_of_memory
from gdws_explorer.utils.rng import exclusive_rng


class AttackRunner:
    """Attacks bound to a model.

    model : in eval mode, its parameters without gradients. most : images at once; halved where
    memory runs out, which `note` says.
    """

    def __init__(self, model: nn.Module, stages: tuple[Attack, ...], most: int) -> None:
        self.note: str | None = None
        self._model = model
        self._most = self._first = most
        self._stages = stages
        self._strikes: list[AttackFn | None] = [
            None if isinstance(stage, PGD) else stage.bind(model) for stage in stages
        ]

    def verdicts(
        self, x: Tensor, y: Tensor, seed: int, start: int, twins: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Right as they are, bool `(B,)`; and still after each attack, bool `(stages, B)`.

        seed, start : they and the number of the attack seed its noise, for every plan alike.
        twins : a copy of x, in which every image becomes what fooled the network, or where nothing
        did what the last attack made of it. PGD makes one of images that are wrong as they are
        too: another network may be right on them.
        """
        clean = self._affordable(lambda: self._right(x, y))
        alive, after = clean if twins is None else torch.ones_like(clean), []
        for k in range(len(self._stages)):
            work = partial(self._after, k, _seed(seed, start, k), x, y, alive, clean, twins)
            alive = self._affordable(work)
            after.append(alive & clean)
        standing = torch.stack(after) if after else clean.new_zeros(0, len(clean))
        return clean.cpu(), standing.cpu()

    def _after(
        self,
        k: int,
        seed: int,
        x: Tensor,
        y: Tensor,
        alive: Tensor,
        clean: Tensor,
        twins: Tensor | None,
    ) -> Tensor:
        """Which of the images `alive` stand after the k-th attack."""
        with exclusive_rng(x.device):
            torch.manual_seed(seed)
            return self._struck(k, x, y, alive, clean, twins)

    def _struck(
        self, k: int, x: Tensor, y: Tensor, alive: Tensor, clean: Tensor, twins: Tensor | None
    ) -> Tensor:
        stage, strike = self._stages[k], self._strikes[k]
        if strike is None:
            assert isinstance(stage, PGD)
            return pgd.still_correct(self._model, stage, x, y, alive, self._most, is_correct, twins)
        alive = alive.clone()
        for piece in pgd.chunks(alive & clean, self._most):
            found = strike(x[piece], y[piece])
            alive[piece] &= self._right(found, y[piece])
            if twins is not None:  # one that could not be fooled may come back as it was
                moved = (found != x[piece]).flatten(1).any(1)
                twins[piece[moved]] = found[moved].to(twins)
        return alive

    def _right(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            parts = zip(torch.split(x, self._most), torch.split(y, self._most), strict=True)
            return torch.cat([is_correct(self._model(images), labels) for images, labels in parts])

    def _affordable(self, work: Callable[[], Tensor]) -> Tensor:
        """What `work` gives, with as many images at a time as there is memory for."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if self._most == 1:
                    raise ModelError(
                        "there is not enough memory for a single image; use a smaller image or "
                        "another device."
                    ) from None
                self._most = (self._most + 1) // 2
                self.note = f"out of memory: {self._most} images at a time instead of {self._first}"
                free_memory()


def _seed(seed: int, start: int, stage: int) -> int:
    """Different for every batch and attack; equal for every plan."""
    words = [seed, start] if stage == 0 else [seed, start, stage]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
