"""Diagnosis of gradient masking: several attacks on the same images.

A network that masks its gradients looks robust to attacks that follow the gradient. The meaning of
the attacks' results is in `masking_signs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.surgery import densify
from gdws_explorer.robust import masking_signs
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.attacks import FGSM, PGD, Square
from gdws_explorer.robust.data_checks import check_data, is_correct
from gdws_explorer.robust.evaluation import BATCH, evaluate
from gdws_explorer.robust.masking_signs import MaskingSign, Result
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence, checked_attack, stages_of
from gdws_explorer.typing import AnyProgressFn, BoolArray, Cancel, Progress, ProgressFn
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import as_images, resolve_device
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.precision import CastingModel
from gdws_explorer.utils.progress import progress_between, progress_fn
from gdws_explorer.utils.sampling import balanced_sample

STEP_FACTOR = 5  # times the steps
RANDOM_POINTS = 20  # of the ball
ATTACK_SHARE = 0.95  # of the time, for the progress
ONE_STEP = "Many steps contain the one: where it wins, the loss is too rugged for them."
SEARCH = "A search that uses only scores should lose to an attack that uses the gradient."
RANDOM = "Random points should fool fewer images than the points that the gradient leads to."


@dataclass(frozen=True)
class MaskingReport:
    """The result of `check_masking`.

    checks : one result for each sign. attack, n, seed : the attack that was checked, the number of
    images, and the seed of their sample. note : as in a Report.
    """

    checks: tuple[MaskingSign, ...]
    attack: PGD
    n: int
    seed: int
    note: str | None = None

    @property
    def warnings(self) -> tuple[MaskingSign, ...]:
        """The signs that were found. An empty tuple does not prove robustness."""
        return tuple(check for check in self.checks if check.warns)

    def __str__(self) -> str:
        count = f"{len(self.warnings) or 'none'} of {len(self.checks)} signs of masked gradients"
        title = f"{count}: {self.attack.label}, n {self.n}, seed {self.seed}"
        note = [] if self.note is None else [f"  note: {self.note}"]
        return "\n".join([title, *(f"  {check}" for check in self.checks), *note])


def check_masking(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | AttackSequence,
    *,
    n: int | None = 100,
    seed: int = 0,
    queries: int = 200,
    batch_size: int = BATCH,
    device: str | torch.device | None = None,
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> MaskingReport:
    """Looks for signs that a network's gradients mislead the attacks that follow them.

    Parameters
    ----------
    model, data, seed, batch_size, device
        As in `evaluate`.
    attack : Attack or AttackSequence
        The PGD to be checked; of a sequence its first PGD, of any other attack PGD-20 in the same
        ball.
    n : int, optional
        Number of images, the same for every attack; None for all. At 100 the check takes as long
        as about twenty evaluations of PGD-20, mostly for the search.
    queries : int
        Of the search without gradients (Square); more queries find more and take longer.
    progress : callable, optional
        Called with a `Progress`, whose detail is the name of the attack under way.
    cancel : threading.Event or callable, optional
        A request to stop, checked before every forward pass.

    Returns
    -------
    MaskingReport
        The checks, and as `warnings` the signs that were found.

    Raises
    ------
    ModelError, DataError
        The model, the data or a setting cannot be used.
    Cancelled
        `cancel` requested a stop.
    """
    gradient = _gradient_attack(attack)
    report = progress_fn(progress)
    x, y = check_data(data)
    sample = balanced_sample(y, n, seed).sort().values
    mine = densify(own_copy(model, trainable=True)).requires_grad_(False).eval()
    where = resolve_device(device, mine)
    mine = mine.to(where)
    images = as_images(mine, x[sample.to(x.device)])
    labels = y[sample.to(y.device)].to(where)
    casting = CastingModel(mine).eval()
    attacks = _attacks(gradient, queries, images)
    reports = _reports(mine, (x, y), attacks, n, seed, batch_size, report, cancel)
    results = {name: _result(each) for name, each in reports.items()}
    noise = (
        f"the worst of {RANDOM_POINTS} random points",
        _random_points(casting, images, labels, gradient, seed, batch_size, cancel),
    )
    rivals = [results[name] for name in ("one step", "search") if name in results] + [noise]
    grey_is_wrong = (labels != _answer_to_grey(casting, images)).cpu().numpy()
    checks = [
        masking_signs.vanishing_gradient(
            *_vanishing_gradients(casting, images, labels, batch_size, cancel)
        ),
        masking_signs.weaker_attack_wins(
            "one step beats many", results["one step"], results["gradient"], ONE_STEP
        ),
        masking_signs.weaker_attack_wins(
            "random points beat the gradient", noise, results["gradient"], RANDOM
        ),
        masking_signs.more_steps(results["gradient"], results["more steps"], dict(rivals)),
        masking_signs.larger_ball(results["gradient"], results["twice ε"]),
        masking_signs.unbounded_attack(results["unbounded"], grey_is_wrong),
    ]
    if "search" in results:
        check = masking_signs.weaker_attack_wins(
            "search beats the gradient", results["search"], results["gradient"], SEARCH
        )
        checks.insert(2, check)
    if report is not None:
        report(Progress(1.0))
    notes = sorted({each.note for each in reports.values() if each.note is not None})
    return MaskingReport(tuple(checks), gradient, len(labels), seed, "; ".join(notes) or None)


def _gradient_attack(attack: object) -> PGD:
    """Returns the PGD that is checked."""
    stages = stages_of(checked_attack(attack))
    if not stages:
        raise DataError("there is no attack to check; give one, such as gx.PGD(8/255).")
    first = next((stage for stage in stages if isinstance(stage, PGD)), None)
    if first is None:
        return PGD(stages[0].eps, norm=stages[0].norm)
    return replace(first, restarts=1)


def _attacks(gradient: PGD, queries: int, images: Tensor) -> dict[str, Attack]:
    """Returns the attacks to run, by a short name; all in balls of the same norm."""
    assert gradient.step_size is not None
    # This ball contains the image that is grey all over, whatever the image at its centre.
    wide = 0.5 if gradient.norm == "linf" else 0.5 * images[0].numel() ** 0.5
    corner = PGD(gradient.eps, 1, gradient.eps, random_start=False, norm=gradient.norm)
    twice = 2 * gradient.eps if gradient.norm == "l2" else min(1.0, 2 * gradient.eps)
    return {
        "gradient": gradient,
        "one step": FGSM(gradient.eps) if gradient.norm == "linf" else corner,
        "more steps": replace(
            gradient,
            steps=STEP_FACTOR * gradient.steps,
            step_size=gradient.step_size / STEP_FACTOR,
        ),
        "twice ε": replace(gradient, eps=twice, step_size=2 * gradient.step_size),
        "unbounded": PGD(wide, max(20, gradient.steps), norm=gradient.norm),
        "search": Square(gradient.eps, queries, norm=gradient.norm),
    }


def _reports(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    attacks: dict[str, Attack],
    n: int | None,
    seed: int,
    batch_size: int,
    progress: ProgressFn | None,
    cancel: Cancel,
) -> dict[str, Report]:
    """Returns the report of every attack on the same images."""
    total = sum(attack.forwards for attack in attacks.values())
    found: dict[str, Report] = {}
    done = 0
    for name, attack in attacks.items():
        start = ATTACK_SHARE * done / total
        done += attack.forwards
        part = _named(progress_between(progress, start, ATTACK_SHARE * done / total), name)
        try:
            found[name] = evaluate(
                model, data, attack, n=n, seed=seed, batch_size=batch_size, progress=part,
                cancel=cancel,
            )  # fmt: skip
        except DataError:
            if name != "search" or attack.norm != "l2":  # some sizes have no patterns in ℓ2
                raise
    return found


def _named(progress: ProgressFn | None, name: str) -> ProgressFn | None:
    """Returns `progress` with the name of an attack as its detail."""
    return None if progress is None else lambda part: progress(Progress(part, name))


def _result(report: Report) -> Result:
    assert report.attack is not None
    assert report.robust_mask is not None
    return report.attack.label, report.robust_mask


@torch.no_grad()
def _random_points(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: PGD,
    seed: int,
    batch_size: int,
    cancel: Cancel,
) -> BoolArray:
    """Returns which images are correct at every one of some random points on the ball's edge."""
    generator = torch.Generator().manual_seed(seed)  # the CPU's: the same on every device
    found = []
    batches = zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)
    for images, labels in batches:
        stop_if(cancel)
        correct = is_correct(model(images), labels)
        for _ in range(RANDOM_POINTS):
            stop_if(cancel)
            noise = torch.randn(images.shape, generator=generator).to(images)
            if attack.norm == "linf":
                noise = noise.sign()
            else:
                noise = noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
            moved = (images + attack.eps * noise).clamp(0, 1)
            correct = correct & is_correct(model(moved), labels)
        found.append(correct.cpu())
    mask: BoolArray = torch.cat(found).numpy()
    return mask


def _vanishing_gradients(
    model: nn.Module, x: Tensor, y: Tensor, batch_size: int, cancel: Cancel
) -> tuple[int, int]:
    """Returns how many correct images have no usable loss gradient, and how many are correct."""
    vanishing = total = 0
    batches = zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)
    for images, labels in batches:
        stop_if(cancel)
        with torch.inference_mode(False), torch.enable_grad():
            at = images.clone().requires_grad_()
            scores = model(at)
            loss = F.cross_entropy(scores, labels, reduction="sum")
            (slope,) = torch.autograd.grad(loss, at, allow_unused=True, materialize_grads=True)
        correct = is_correct(scores.detach(), labels)
        usable = torch.isfinite(slope).flatten(1).all(1)
        usable &= (slope != 0).flatten(1).any(1)
        vanishing += int((correct & ~usable).sum())
        total += int(correct.sum())
    return vanishing, total


@torch.no_grad()
def _answer_to_grey(model: nn.Module, images: Tensor) -> int:
    return int(model(torch.full_like(images[:1], 0.5)).argmax())
