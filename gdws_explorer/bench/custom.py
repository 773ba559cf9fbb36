"""A user's network and images as a bench, with checks described in words."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.bench.checkpoint import load_checkpoint
from gdws_explorer.bench.data import load_data
from gdws_explorer.bench.model_registry import load_model
from gdws_explorer.errors import DataError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.normalized import Normalized
from gdws_explorer.robust.report import PartialReport
from gdws_explorer.typing import Cancel, Progress, ProgressFn
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.format import some_of
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.progress import progress_between
from gdws_explorer.utils.sampling import CALIBRATION_IMAGES, EVALUATION_IMAGES

CHECKED = 100  # images whose clean accuracy is measured
LOADED, EVALUATED = 0.5, 0.6  # the progress after loading the images and after evaluating them
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "CIFAR-100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5 and 0.5": ((0.5,), (0.5,)),
}


@dataclass(frozen=True, eq=False)
class CustomBench(AccuracyCounts):
    """A user's network with its images, and the results of first checks.

    title : a name for people. model : in eval mode. network : the same with decomposed layers.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)` to measure on. calibration : other
    images for approximations from data; None where there were no more. classes : number of
    classes. clean_correct, n : correct images among the first n, without attack.
    """

    title: str
    model: nn.Module
    network: Network
    data: tuple[Tensor, Tensor]
    calibration: tuple[Tensor, Tensor] | None
    classes: int
    clean_correct: int
    n: int
    robust_correct: None = None

    @property
    def chance(self) -> bool:
        """Whether the accuracy may be that of guessing: its interval begins below 1 / classes."""
        return self.clean_interval[0] <= 1 / self.classes

    @property
    def findings(self) -> tuple[tuple[str, str], ...]:
        """Results of the checks, as pairs of a name and a sentence."""
        x, y = self.data
        net, shape = self.network, "×".join(map(str, x.shape[1:]))
        low, high = self.clean_interval
        more = (
            "no more for calibration: approximations are computed from the weights only"
            if self.calibration is None
            else f"{len(self.calibration[1]):,} others for calibration"
        )
        without = f", without {some_of(net.uncounted)}" if net.uncounted else ""
        return (
            ("layers", f"{len(net.layers)}, {len(net.names)} of them can be approximated"),
            ("parameters", f"{net.params:,}"),
            ("MACs", f"{net.macs:,} per image of {shape}{without}"),
            ("images", f"{len(y):,} to measure on, {more}"),
            ("input range", f"{float(x.min()):.3g} to {float(x.max()):.3g}, mean {x.mean():.3g}"),
            ("labels", f"{int(y.min())} to {int(y.max())}; the network has {self.classes} classes"),
            (
                "accuracy",
                f"{self.clean_correct} of the first {self.n} images correct, "
                f"{self.clean_correct / self.n:.0%} (95 %: {low:.0%} to {high:.0%}), without "
                "attack",
            ),
        )

    @property
    def warning(self) -> str | None:
        """The likely mistakes where the accuracy is that of guessing; None otherwise."""
        if not self.chance:
            return None
        return (
            "the network does not do better than guessing on these images. Are its weights loaded? "
            "Was it trained on normalised images (choose the normalisation)? Are the labels in "
            "its order?"
        )


def load_custom(
    model: nn.Module | str,
    images: Any,
    *,
    weights: str | os.PathLike[str] | bool | None = None,
    classes: int | None = None,
    normalisation: str | tuple[Sequence[float], Sequence[float]] | None = None,
    n: int = EVALUATION_IMAGES,
    size: int | None = None,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    cache: bool | str | os.PathLike[str] = False,
    progress: ProgressFn | None = None,
    cancel: Cancel = None,
) -> CustomBench:
    """Makes a bench of a network and images, checks both, and evaluates the first 100 images.

    Parameters
    ----------
    model, weights, classes : a module, or a name as in `load_model`; a file of weights for either.
    images, size, root, download : as in `load_data`.
    normalisation : a name in STATISTICS, or the (mean, std) that the network was trained with. It
        becomes part of the model, so that attacks work on images in [0, 1].
    n : number of images to measure on, a seeded sample with equal classes. Up to 512 others are
        the calibration images.
    cache : where the layers' tables are kept, as in `Network.prepare`.
    progress : called with the finished fraction. cancel : checked before every image and forward
        pass.

    Raises
    ------
    ModelError, DataError, Cancelled. The arguments are not changed.
    """
    bench_model = _normalized(_model(model, weights, classes), normalisation).eval()
    n = checked_whole("n", n)
    x, y = load_data(
        images, n=n, spare=CALIBRATION_IMAGES, size=size, root=root, download=download,
        model=bench_model, progress=progress_between(progress, 0, LOADED), cancel=cancel,
    )  # fmt: skip
    first = min(CHECKED, len(y))
    evaluating = progress_between(progress, LOADED, EVALUATED)

    def evaluated(done: float, _partial: PartialReport) -> None:
        if evaluating is not None:
            evaluating(Progress(done))

    report = evaluate(bench_model, (x[:first], y[:first]), cancel=cancel, progress=evaluated)
    network = Network(bench_model, x[:1])
    with torch.inference_mode():
        logits = network.model(network.example)
    network.prepare(progress_between(progress, EVALUATED, 1), cancel=cancel, cache=cache)
    rest = (x[n:], y[n:]) if len(y) > n else None
    title = model if isinstance(model, str) else type(model).__name__
    return CustomBench(
        title=title, model=bench_model, network=network, data=(x[:n], y[:n]), calibration=rest,
        classes=logits.shape[1], clean_correct=report.clean_correct, n=first,
    )  # fmt: skip


def _model(model: nn.Module | str, weights: Any, classes: int | None) -> nn.Module:
    if isinstance(model, str):
        return load_model(model, weights=weights, classes=classes)
    copied = own_copy(model, trainable=True)
    return copied if weights is None else load_checkpoint(Path(str(weights)), copied)


def _normalized(model: nn.Module, normalisation: Any) -> nn.Module:
    if normalisation is None:
        return model
    if isinstance(normalisation, str):
        if normalisation not in STATISTICS:
            raise DataError(
                f"unknown normalisation {normalisation!r}; expected one of "
                f"{', '.join(STATISTICS)}, or (mean, std)."
            )
        normalisation = STATISTICS[normalisation]
    if isinstance(model, Normalized):
        raise DataError(
            "the network already normalises its images, as networks with published weights do; "
            "choose no normalisation."
        )
    return Normalized(model, *normalisation)


def numbers(text: str) -> tuple[float, ...]:
    """Returns the numbers of a text such as "0.5, 0.5 0.5"; DataError for anything else."""
    try:
        found = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise DataError(f"{text!r} is not a list of numbers; expected one per channel.")
    return found
