"""Clean and robust accuracy of a network, measured on images."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.surgery import densify
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attack_runner import AttackRunner
from gdws_explorer.robust.data_checks import check_data, data_fingerprint
from gdws_explorer.robust.evaluation_checkpoint import EvaluationCheckpoint, model_digest
from gdws_explorer.robust.report import PartialReport, Report
from gdws_explorer.robust.sequence import AttackSequence, checked_attack, stages_of
from gdws_explorer.typing import AnyProgressFn, Cancel, Progress
from gdws_explorer.utils.cancel import CancellableModel, stop_if
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.devices import as_images, resolve_device
from gdws_explorer.utils.modules import no_parameter_grads, own_copy
from gdws_explorer.utils.precision import CastingModel
from gdws_explorer.utils.progress import progress_fn
from gdws_explorer.utils.sampling import balanced_sample
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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> Report:
    """Measures the clean accuracy of a network, and its robust accuracy under an attack.

    The model's weights, buffers and modes and torch's random state stay as they are.

    Parameters
    ----------
    model : torch.nn.Module
        Images `(B, C, H, W)` in [0, 1] to class scores `(B, classes)`; measured in eval mode.
    data : pair
        Images `(N, C, H, W)` and labels `(N,)`, tensors or arrays. Attacks work on them in float32,
        in float64 if the model does; they are rounded to a smaller type where they enter the model.
    attack : Attack, sequence of attacks or None
        One attack, or several in the order of their strength: an image that one of them fools is
        not attacked by the later ones. None measures the clean accuracy only. Images that are wrong
        without attack are not attacked; PGD stops at the first step that fools an image.
    n : int, optional
        Number of images, the beginning of a seeded class-balanced sample; None for all.
    seed : int
        Seeds sample and noise. The noise is seeded per batch, so that every plan gets the same
        noise on the same image (at equal `batch_size`).
    batch_size : int
        Images in one forward pass.
    through : {"dense", "layers"}
        "dense" attacks GDWS and Tucker-2 layers through their rebuilt dense kernels (equal up to
        rounding, faster), "layers" the layers themselves.
    device : str, torch.device or None
        Where to compute; None for the model's device. Where memory runs out, half as many images
        are taken at a time, and the report's note says so.
    resume : path, optional
        A file to which the results are written batch by batch. Results of the same evaluation in
        this file are not computed again.
    progress : callable, optional
        Called before every forward pass with a `Progress` whose detail is a `PartialReport`.
    cancel : threading.Event or callable, optional
        A request to stop, checked before every forward pass.

    Returns
    -------
    Report
        Accuracies with counts, intervals and the results image by image.

    Raises
    ------
    ModelError, DataError
        The model, the data or a setting cannot be used.
    Cancelled
        `cancel` requested a stop.

    Examples
    --------
    >>> import gdws_explorer as gx
    >>> bench = gx.load("digits")
    >>> report = gx.evaluate(bench.model, bench.data, gx.PGD(0.15, steps=5), n=20)
    >>> report.n, report.attack.label
    (20, 'PGD-5 ℓ∞ ε 0.15')
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
    """The images of an evaluation, on its device and in the order of the data.

    x : images `(n, C, H, W)`. y : labels `(n,)`. examples : like x, the adversarial examples.
    """

    x: Tensor
    y: Tensor
    examples: Tensor


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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
    with_examples: bool = False,
) -> tuple[Report, EvaluationRun | None]:
    """Returns the report of `evaluate`, and with `with_examples` also the adversarial examples.

    The settings are those of `evaluate`. with_examples : the accuracies stay the same, but PGD
    takes all steps with all images; cannot be combined with `resume`.
    """
    started = time.perf_counter()
    attack = checked_attack(attack)
    if through not in ("dense", "layers"):
        raise DataError(f"through is {through!r}; expected 'dense' or 'layers'.")
    batch_size = checked_whole("batch_size", batch_size)
    seed = checked_whole("seed", seed, 0)
    stages = stages_of(attack)
    # A caller's no_grad or inference mode must not reach the attack's gradients.
    with torch.inference_mode(False), torch.enable_grad():
        mine = own_copy(model, trainable=True)
        mine = densify(mine) if through == "dense" else mine
        images, labels = check_data(data)
        sample = balanced_sample(labels, n, seed)
        where = resolve_device(device, mine)
        checkpoint = None
        if resume is not None:
            settings = {
                "model": model_digest(mine), "data": data_fingerprint(images, labels),
                "attack": None if attack is None else attack.to_dict(), "n": len(sample),
                "seed": seed, "batch_size": batch_size, "through": through,
            }  # fmt: skip
            checkpoint = EvaluationCheckpoint(resume, settings, len(sample), len(stages))
        mine = mine.to(where).eval()
        x = as_images(mine, images[sample.to(images.device)])
        y = labels[sample.to(labels.device)].to(where)
        examples = x.clone() if with_examples else None
        counter = _Counter(len(y), batch_size, stages, progress, checkpoint)
        casting = CastingModel(mine)
        cancellable = CancellableModel(casting, cancel, counter.on_forward).eval()
        threads = threads_for(x[0].numel() * batch_size)
        with no_parameter_grads(cancellable), torch_threads(threads):
            runner = AttackRunner(cancellable, stages, batch_size)
            for start in range(counter.done, len(y), batch_size):
                part = slice(start, start + batch_size)
                clean, robust = runner.run(
                    x[part], y[part], seed, start, None if examples is None else examples[part]
                )
                counter.add(part, clean, robust)
                if checkpoint is not None:
                    spent = checkpoint.seconds + time.perf_counter() - started
                    checkpoint.write(counter.clean, counter.robust, counter.done, spent)
        stop_if(cancel)
        counter.report()
    notes = [] if runner.note is None else [runner.note]
    if casting.overflow is not None:
        notes.append(f"images whose scores are not finite count as wrong: {casting.overflow}")
    order = torch.argsort(sample)  # back into the order of the data
    clean_mask = counter.clean.numpy()[order]
    robust_mask = counter.robust[-1].numpy()[order] if stages else None
    report = Report(
        clean_correct=int(clean_mask.sum()),
        robust_correct=None if robust_mask is None else int(robust_mask.sum()),
        n=len(y),
        attack=attack,
        seed=seed,
        seconds=time.perf_counter() - started + (0.0 if checkpoint is None else checkpoint.seconds),
        through=through,
        stages=tuple(int(stage.sum()) for stage in counter.robust),
        note="; ".join(notes) or None,
        clean_mask=clean_mask,
        robust_mask=robust_mask,
    )
    if examples is None:
        return report, None
    order = order.to(where)
    return report, EvaluationRun(x[order], y[order], examples[order])


class _Counter:
    """Counts of correct images and forward passes, and their reports to `progress`."""

    def __init__(
        self,
        n: int,
        batch_size: int,
        stages: tuple[Attack, ...],
        progress: AnyProgressFn | None,
        checkpoint: EvaluationCheckpoint | None,
    ) -> None:
        self.clean = torch.zeros(n, dtype=torch.bool)
        self.robust = torch.zeros(len(stages), n, dtype=torch.bool)
        self.done = 0
        if checkpoint is not None:
            self.clean, self.robust, self.done = (
                checkpoint.clean, checkpoint.robust, checkpoint.done,
            )  # fmt: skip
        self._progress = progress_fn(progress)
        self._batch = batch_size
        self._per_batch = 1 + sum(stage.forwards + 1 for stage in stages)
        self._passes = self._per_batch * -(-self.done // batch_size)
        self._total = self._per_batch * -(-n // batch_size)

    def add(self, part: slice, clean: Tensor, robust: Tensor) -> None:
        """Adds the results of one batch."""
        self.clean[part], self.robust[:, part] = clean, robust
        self.done += len(clean)
        # Fooled images leave early, and with them passes that are no longer needed.
        self._passes = self._per_batch * -(-self.done // self._batch)

    def on_forward(self) -> None:
        """Counts one forward pass."""
        self.report()
        self._passes += 1

    def report(self) -> None:
        """Reports the finished fraction and the counts so far."""
        if self._progress is None:
            return
        robust = int(self.robust[-1].sum()) if len(self.robust) else None
        partial = PartialReport(self.done, len(self.clean), int(self.clean.sum()), robust)
        self._progress(Progress(min(1.0, self._passes / self._total), partial))
