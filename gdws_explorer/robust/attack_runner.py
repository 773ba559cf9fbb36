"""The loop over the attacks of an evaluation, for one batch of images after the other."""

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
from gdws_explorer.robust.batch_dependence import NOTE, depends_on_batch
from gdws_explorer.robust.data_checks import is_correct
from gdws_explorer.utils.cancel import CancellableModel
from gdws_explorer.utils.devices import free_memory, out_of_memory
from gdws_explorer.utils.precision import gradients_needed
from gdws_explorer.utils.rng import exclusive_rng


class AttackRunner:
    """Several attacks bound to one model, run on batches of images.

    model : in eval mode, its parameters without gradients. stages : the attacks in their order.
    batch_size : images in one forward pass; halved where memory runs out.
    """

    def __init__(self, model: nn.Module, stages: tuple[Attack, ...], batch_size: int) -> None:
        self._notes: dict[str, str] = {}  # by their subject, so that a later one replaces another
        self._looked = False
        self._model = model
        self._batch_size = self._first_batch_size = batch_size
        self._stages = stages
        # PGD has a loop of its own, which drops fooled images early.
        self._attack_fns: list[AttackFn | None] = [
            None if isinstance(stage, PGD) else stage.bind(model) for stage in stages
        ]

    @property
    def note(self) -> str | None:
        """The properties of the batches that the user needs to know, or None."""
        return "; ".join(self._notes.values()) or None

    def run(
        self, x: Tensor, y: Tensor, seed: int, start: int, examples: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns which images are correct without attack, and which after each attack.

        Parameters
        ----------
        x, y : one batch, images `(B, C, H, W)` and labels `(B,)`.
        seed, start : with the number of the attack they seed its noise, equally for every plan.
        examples : a copy of x. Every image becomes its adversarial example: the one that fooled
            the network, or else the result of the last attack. PGD also attacks images that are
            wrong without attack, because another network may be right on them.

        Returns
        -------
        clean : bool `(B,)`. robust : bool `(stages, B)`.
        """
        clean = self._within_memory(lambda: self._correct(x, y))
        remaining = clean if examples is None else torch.ones_like(clean)
        robust = []
        for k in range(len(self._stages)):
            noise_seed = _noise_seed(seed, start, k)
            work = partial(self._run_stage, k, noise_seed, x, y, remaining, clean, examples)
            with gradients_needed():
                remaining = self._within_memory(work)
            robust.append(remaining & clean)
        stacked = torch.stack(robust) if robust else clean.new_zeros(0, len(clean))
        return clean.cpu(), stacked.cpu()

    def _run_stage(
        self,
        k: int,
        seed: int,
        x: Tensor,
        y: Tensor,
        remaining: Tensor,
        clean: Tensor,
        examples: Tensor | None,
    ) -> Tensor:
        """Returns which of the `remaining` images are correct after the k-th attack."""
        stage, attack_fn = self._stages[k], self._attack_fns[k]
        with exclusive_rng(x.device):
            torch.manual_seed(seed)
            if attack_fn is None:
                assert isinstance(stage, PGD)
                return pgd.still_correct(
                    self._model, stage, x, y, remaining, self._batch_size, is_correct, examples
                )
            remaining = remaining.clone()
            for chunk in pgd.chunks(remaining & clean, self._batch_size):
                attacked = attack_fn(x[chunk], y[chunk])
                remaining[chunk] &= self._correct(attacked, y[chunk])
                if examples is not None:  # an image that was not fooled may come back unchanged
                    changed = (attacked != x[chunk]).flatten(1).any(1)
                    examples[chunk[changed]] = attacked[changed].to(examples)
            return remaining

    def _correct(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns which images the model classifies correctly, bool `(B,)`."""
        size = self._batch_size
        with torch.no_grad():
            parts = zip(torch.split(x, size), torch.split(y, size), strict=True)
            return torch.cat([self._verdicts(images, labels) for images, labels in parts])

    def _verdicts(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns which images of one forward pass are correct; looks at the first pass."""
        scores = self._model(x)
        right = is_correct(scores, y)
        if not self._looked and len(x) > 1:
            self._looked = True
            # This look is no part of the evaluation's progress.
            inner = self._model.model if isinstance(self._model, CancellableModel) else self._model
            if depends_on_batch(inner, x, scores):
                self._notes["batch"] = NOTE
        return right

    def _within_memory(self, work: Callable[[], Tensor]) -> Tensor:
        """Returns the result of `work`, repeated with half the batch size while memory runs out."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if self._batch_size == 1:
                    raise ModelError(
                        "there is not enough memory for a single image; use a smaller image or "
                        "another device."
                    ) from None
                self._batch_size = (self._batch_size + 1) // 2
                self._notes["memory"] = (
                    f"out of memory: {self._batch_size} images at a time instead of "
                    f"{self._first_batch_size}"
                )
                free_memory()


def _noise_seed(seed: int, start: int, stage: int) -> int:
    """Returns a seed that differs for every batch and attack, and is equal for every plan."""
    words = [seed, start] if stage == 0 else [seed, start, stage]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
