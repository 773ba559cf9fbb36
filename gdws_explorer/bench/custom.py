"""A network and images of one's own, put together, looked over and described in words."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
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
from gdws_explorer.utils.checks import checked_whole
from gdws_explorer.utils.modules import own_copy

LOOKED_AT = 100  # images whose accuracy is told
LEARNED = 512  # images beyond the measured ones, for approximations from data
LOADING, ANSWERING = 0.5, 0.6  # of the progress, when images are read and answered
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "CIFAR-100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5 and 0.5": ((0.5,), (0.5,)),
}


@dataclass(frozen=True, eq=False)
class CustomBench(AccuracyCounts):
    """A network with its images, and what was found.

    title : for people. model : in eval mode. network : the same, its layers decomposed.
    data : images `(N, C, H, W)` in [0, 1] and labels `(N,)` to measure on. calibration : others,
    to learn from, or None where there were no more. classes : scores that the network gives.
    clean_correct, n : right of the first images, none of them attacked.
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
        """Whether it is no better than guessing: the interval holds one in `classes`."""
        return self.clean_interval[0] <= 1 / self.classes

    @property
    def findings(self) -> tuple[tuple[str, str], ...]:
        """What was found, as pairs of a word and a sentence."""
        x, y = self.data
        net, shape = self.network, "×".join(map(str, x.shape[1:]))
        low, high = self.clean_interval
        more = (
            "no more to learn from: approximations are from the weights only"
            if self.calibration is None
            else f"{len(self.calibration[1]):,} others to learn from"
        )
        return (
            ("layers", f"{len(net.layers)}, {len(net.names)} of them can be approximated"),
            ("parameters", f"{net.params:,}"),
            ("MACs", f"{net.macs:,} per image of {shape}"),
            ("images", f"{len(y):,} to measure on, {more}"),
            ("input range", f"{float(x.min()):.3g} to {float(x.max()):.3g}, mean {x.mean():.3g}"),
            ("labels", f"{int(y.min())} to {int(y.max())}; the network tells {self.classes} apart"),
            (
                "accuracy",
                f"{self.clean_correct} of the first {self.n} images right, "
                f"{self.clean_correct / self.n:.0%} (95 %: {low:.0%} to {high:.0%}), not attacked",
            ),
        )

    @property
    def warning(self) -> str | None:
        """What looks wrong, and what to try."""
        if not self.chance:
            return None
        return (
            "the network is no better than guessing on these images. Are its weights loaded? Was "
            "it trained on normalised images (choose the normalisation)? Are the labels in its "
            "order?"
        )


def load_custom(
    model: nn.Module | str,
    images: Any,
    *,
    weights: str | os.PathLike[str] | bool | None = None,
    classes: int | None = None,
    normalisation: str | tuple[Sequence[float], Sequence[float]] | None = None,
    n: int = 360,
    size: int | None = None,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    cache: bool | str | os.PathLike[str] = False,
    progress: Callable[[float], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> CustomBench:
    """Put a network and images together, check that they fit, and look at the first 100.

    Parameters
    ----------
    model, weights, classes : a module, or a name as in `load_model`; a file of weights for either.
    images, size, root, download : as in `load_data`.
    normalisation : a name in STATISTICS or (mean, std) that the network was trained with; it goes
        inside the model, so that attacks work on images in [0, 1].
    n : images to measure on, a seeded sample with equal classes; up to 512 others are kept apart
        to learn from.
    cache : of the layers' tables, as in `Network.prepare`.
    progress : is told the share done. cancel : asked before every image and forward pass.

    Raises ModelError, DataError, Cancelled; nothing given is changed.
    """

    def part(start: float, end: float) -> Callable[[float], None]:
        def tell(share: float) -> None:
            if progress is not None:
                progress(start + (end - start) * share)

        return tell

    made = _model(model, weights, classes)
    made = _normalized(made, normalisation).eval()
    n = checked_whole("n", n)
    x, y = load_data(
        images, n=n, spare=LEARNED, size=size, root=root, download=download, model=made,
        progress=part(0, LOADING), cancel=cancel,
    )  # fmt: skip
    first = min(LOOKED_AT, len(y))
    report = evaluate(
        made, (x[:first], y[:first]), cancel=cancel,
        progress=lambda share, _: part(LOADING, ANSWERING)(share),
    )  # fmt: skip
    network = Network(made, x[:1])
    with torch.inference_mode():
        answers = network.model(network.example)
    network.prepare(part(ANSWERING, 1), cancel=cancel, cache=cache)
    rest = (x[n:], y[n:]) if len(y) > n else None
    title = model if isinstance(model, str) else type(model).__name__
    return CustomBench(
        title=title, model=made, network=network, data=(x[:n], y[:n]), calibration=rest,
        classes=answers.shape[1], clean_correct=report.clean_correct, n=first,
    )  # fmt: skip


def _model(model: nn.Module | str, weights: Any, classes: int | None) -> nn.Module:
    if isinstance(model, str):
        return load_model(model, weights=weights, classes=classes)
    mine = own_copy(model, trainable=True)
    if weights is None:
        return mine
    return load_checkpoint(Path(str(weights)), mine)


def _normalized(model: nn.Module, normalisation: Any) -> nn.Module:
    if normalisation is None:
        return model
    if isinstance(normalisation, str):
        if normalisation not in STATISTICS:
            raise DataError(
                f"there is no normalisation {normalisation!r}; expected one of "
                f"{', '.join(STATISTICS)}, or (mean, std)."
            )
        normalisation = STATISTICS[normalisation]
    if isinstance(model, Normalized):
        raise DataError(
            "the network normalises its images itself (published weights come with it); choose no "
            "normalisation."
        )
    return Normalized(model, *normalisation)


def numbers(text: str) -> tuple[float, ...]:
    """The numbers in "0.5, 0.5 0.5"; DataError for anything else."""
    try:
        found = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise DataError(f"{text!r} is not a list of numbers; expected one per channel.")
    return found
