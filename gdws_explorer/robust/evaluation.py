"""How often a network is right, and how often it still is when the images are attacked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.surgery import densify
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attack_runner import AttackRunner
from gdws_explorer.robust.data_checks import balanced_sample, check_data, data_fingerprint
from gdws_explorer.robust.evaluation_checkpoint import EvaluationCheckpoint, model_digest
from gdws_explorer.robust.report import PartialReport, Report
from gdws_explorer.robust.sequence import AttackSequence, checked_attack, stages_of
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import CancellableModel, stop_if
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.devices import dtype_of, resolve_device
from gdws_explorer.utils.modules import no_parameter_grads, own_copy
from gdws_explorer.utils.threads import threads_for, torch_threads

BATCH = 60


def evaluate(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | AttackSequence | Sequence[Attack] | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    through: Literal["dense", "layers"] = "dense",
    device: str | torch.device | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: Callable[[float, PartialReport], None] | None = None,
    cancel: Cancel = None,
) -> Report:
    """Measure a network; its weights, buffers, modes and torch's random numbers stay as they are.

    Parameters
    ----------
    model : images `(B, C, H, W)` in [0, 1] to class scores `(B, classes)`; measured in eval mode.
    data : images `(N, C, H, W)` and labels `(N,)`, tensors or arrays.
    attack : an attack, several in the order of their strength (an image that one of them fools
        meets no later one), or None for clean accuracy only. Images that the network gets wrong
        leave at once; PGD lets an image go at the first step that fools it.
    n : how many images, the beginning of a seeded class-balanced sample; None for all.
    seed : chooses sample and noise. The noise is seeded per batch, so every plan meets the same
        noise on the same image (at equal `batch_size`).
    through : "dense" attacks GDWS and Tucker-2 layers through their rebuilt kernel (equal up to
        rounding, faster), "layers" the layers themselves.
    device : where to compute; the model's device unless given. Out of memory, half as many images
        are taken at a time, and the report's note says so.
    resume : a file that keeps the verdicts batch by batch; where it holds those of this very
        evaluation, they are not computed again.
    progress : called before every forward pass with the fraction done and what is known so far.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be measured. Cancelled : `cancel` said so.
    """
    return run_evaluation(
        model,
        data,
        attack,
        n=n,
        seed=seed,
        batch_size=batch_size,
        through=through,
        device=device,
        resume=resume,
        progress=progress,
        cancel=cancel,
    )[0]


class EvaluationRun(NamedTuple):
    """What a network met in a measurement, on its device and in the order of the data.

    x : images `(n, C, H, W)`. y : labels `(n,)`. twins : like x, the attacked ones.
    """

    x: Tensor
    y: Tensor
    twins: Tensor


def run_evaluation(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | AttackSequence | Sequence[Attack] | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    through: str = "dense",
    device: str | torch.device | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: Callable[[float, PartialReport], None] | None = None,
    cancel: Cancel = None,
    keep: bool = False,
) -> tuple[Report, EvaluationRun | None]:
    """As `evaluate`, which explains the settings; with `keep` also what was met, else None.

    keep : the verdicts stay the same, but PGD lets no image go. Not with `resume`.
    """
    started = time.perf_counter()
    attack = checked_attack(attack)
    _check_options(through, batch_size, seed)
    stages = stages_of(attack)
    # A caller's no_grad or inference mode must not reach the attack's gradients.
    with torch.inference_mode(False), torch.enable_grad():
        mine = own_copy(model, trainable=True)
        mine = densify(mine) if through == "dense" else mine
        images, labels = check_data(data)
        chosen = balanced_sample(labels, n, seed)
        where = resolve_device(device, mine)
        saved = None
        if resume is not None:
            told = None if attack is None else attack.to_dict()
            settings = {
                "model": model_digest(mine), "data": data_fingerprint(images, labels),
                "attack": told, "n": len(chosen), "seed": seed, "batch_size": batch_size,
                "through": through,
            }  # fmt: skip
            saved = EvaluationCheckpoint(resume, settings, len(chosen), len(stages))
        mine = mine.to(where).eval()
        x = images[chosen.to(images.device)].to(where, dtype_of(mine))
        y = labels[chosen.to(labels.device)].to(where)
        twins = x.clone() if keep else None
        tally = _Counter(len(y), batch_size, stages, progress, saved)
        watched = CancellableModel(mine, cancel, tally.tick).eval()
        threads = threads_for(x[0].numel() * batch_size)
        with no_parameter_grads(watched), torch_threads(threads):
            team = AttackRunner(watched, stages, batch_size)
            for start in range(tally.done, len(y), batch_size):
                part = slice(start, start + batch_size)
                clean, standing = team.verdicts(
                    x[part], y[part], seed, start, None if twins is None else twins[part]
                )
                tally.add(part, clean, standing)
                if saved is not None:
                    spent = saved.seconds + time.perf_counter() - started
                    saved.write(tally.clean, tally.standing, tally.done, spent)
        stop_if(cancel)
        tally.report()
    back = torch.argsort(chosen)
    clean = tally.clean.numpy()[back]
    robust = tally.standing[-1].numpy()[back] if stages else None
    report = Report(
        clean_correct=int(clean.sum()),
        robust_correct=None if robust is None else int(robust.sum()),
        n=len(y),
        attack=attack,
        seed=seed,
        seconds=time.perf_counter() - started + (saved.seconds if saved is not None else 0.0),
        through=through,
        stages=tuple(int(stage.sum()) for stage in tally.standing),
        note=team.note,
        clean_mask=clean,
        robust_mask=robust,
    )
    if twins is None:
        return report, None
    there = back.to(where)
    return report, EvaluationRun(x[there], y[there], twins[there])


class _Counter:
    """Verdicts as they come in, and what the progress bar is told of them."""

    def __init__(
        self,
        n: int,
        batch_size: int,
        stages: tuple[Attack, ...],
        progress: Callable[[float, PartialReport], None] | None,
        saved: EvaluationCheckpoint | None,
    ) -> None:
        self.clean = torch.zeros(n, dtype=torch.bool) if saved is None else saved.clean
        empty = torch.zeros(len(stages), n, dtype=torch.bool)
        self.standing = empty if saved is None else saved.standing
        self.done = 0 if saved is None else saved.done
        self._progress = progress
        self._batch = batch_size
        self._per_batch = 1 + sum(stage.forwards + 1 for stage in stages)
        self._passes = self._per_batch * -(-self.done // batch_size)
        self._total = self._per_batch * -(-n // batch_size)

    def add(self, part: slice, clean: Tensor, standing: Tensor) -> None:
        self.clean[part], self.standing[:, part] = clean, standing
        self.done += len(clean)
        # Fooled images leave early, and whole batches with them: passes that nobody needs.
        self._passes = self._per_batch * -(-self.done // self._batch)

    def tick(self) -> None:
        self.report()
        self._passes += 1

    def report(self) -> None:
        if self._progress is not None:
            n = len(self.clean)
            robust = int(self.standing[-1].sum()) if len(self.standing) else None
            partial = PartialReport(self.done, n, int(self.clean.sum()), robust)
            self._progress(min(1.0, self._passes / self._total), partial)


def _check_options(through: object, batch_size: object, seed: object) -> None:
    if through not in ("dense", "layers"):
        raise DataError(f"through is {through!r}; expected 'dense' or 'layers'.")
    checked_whole("batch_size", batch_size)
    checked_whole("seed", seed, 0)
