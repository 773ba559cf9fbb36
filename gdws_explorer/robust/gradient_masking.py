"""Looks for signs that a network hides its gradients from the attacks that follow them.

Several attacks are run on the same images; what their verdicts mean is said in `signs`.
"""

from __future__ import annotations

from collections.abc import Callable
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
from gdws_explorer.robust.data_checks import balanced_sample, check_data, is_correct
from gdws_explorer.robust.evaluation import BATCH, evaluate
from gdws_explorer.robust.masking_signs import Mask, MaskingSign
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence, checked_attack, stages_of
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import dtype_of, resolve_device
from gdws_explorer.utils.modules import own_copy

MORE = 5  # times the steps
TRIES = 20  # random points of the ball
ONE = "Many steps contain the one: where it wins, the loss is too rugged for them."
SEARCH = "A search that sees only scores should lose to one that sees the gradient."
NOISE = "Points that nobody chose should fool less than those that the gradient points at."


@dataclass(frozen=True)
class MaskingReport:
    """What `check_masking` found.

    attack, n, seed : what was checked, on which images. note : as a Report's.
    """

    checks: tuple[MaskingSign, ...]
    attack: PGD
    n: int
    seed: int
    note: str | None = None

    @property
    def warnings(self) -> tuple[MaskingSign, ...]:
        """The signs that were found. None is what one hopes for, and no proof of robustness."""
        return tuple(check for check in self.checks if check.warns)

    def __str__(self) -> str:
        count = f"{len(self.warnings) or 'none'} of {len(self.checks)} signs of masked gradients"
        title = f"{count}: {self.attack.label}, n {self.n}, seed {self.seed}"
        return "\n".join([title, *(f"  {check}" for check in self.checks)])


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
    progress: Callable[[float], None] | None = None,
    cancel: Cancel = None,
) -> MaskingReport:
    """Look for signs that a network's gradients mislead the attacks that follow them.

    Parameters
    ----------
    model, data, seed, batch_size, device : as in `evaluate`.
    attack : the PGD to be checked; of a staged attack its first PGD, of anything else PGD-20 in
        the same ball.
    n : images, the same for every attack; None for all. At 100 the check takes as long as about
        twenty evaluations of PGD-20, mostly for the search.
    queries : of the search without gradients (Square); more find more, and take longer.
    progress : called with the fraction done. cancel : looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be attacked. Cancelled : `cancel` said so.
    """
    white = _white(attack)
    x, y = check_data(data)
    kept = balanced_sample(y, n, seed).sort().values
    mine = densify(own_copy(model, trainable=True)).requires_grad_(False).eval()
    where = resolve_device(device, mine)
    mine = mine.to(where)
    images, labels = x[kept.to(x.device)].to(where, dtype_of(mine)), y[kept.to(y.device)].to(where)
    reports = _reports(
        mine, (x, y), _attacks(white, queries, images), n, seed, batch_size, progress, cancel
    )
    stood = {name: _stood(report) for name, report in reports.items()}
    survives = _noise(mine, images, labels, white, seed, batch_size, cancel)
    noise = f"the worst of {TRIES} random points", survives
    rivals = [stood[name] for name in ("one", "square") if name in stood] + [noise]
    checks = [
        masking_signs.vanishing(*_flat(mine, images, labels, batch_size, cancel)),
        masking_signs.weaker_attack_wins("one step beats many", stood["one"], stood["white"], ONE),
        masking_signs.weaker_attack_wins(
            "random points beat the gradient", noise, stood["white"], NOISE
        ),
        masking_signs.more_steps(stood["white"], stood["more"], dict(rivals)),
        masking_signs.larger(stood["white"], stood["twice"]),
        masking_signs.unbounded(
            stood["wide"], (labels != _answer_to_grey(mine, images)).cpu().numpy()
        ),
    ]
    if "square" in stood:
        check = masking_signs.weaker_attack_wins(
            "search beats the gradient", stood["square"], stood["white"], SEARCH
        )
        checks.insert(2, check)
    if progress is not None:
        progress(1.0)
    notes = sorted({report.note for report in reports.values() if report.note is not None})
    return MaskingReport(tuple(checks), white, len(labels), seed, "; ".join(notes) or None)


def _white(attack: object) -> PGD:
    """The PGD that is checked."""
    stages = stages_of(checked_attack(attack))
    if not stages:
        raise DataError("there is no attack to check; give one, such as gx.PGD(8/255).")
    first = next((stage for stage in stages if isinstance(stage, PGD)), None)
    if first is None:
        return PGD(stages[0].eps, norm=stages[0].norm)
    return replace(first, restarts=1)


def _attacks(white: PGD, queries: int, images: Tensor) -> dict[str, Attack]:
    """What is run, by a short name; all in balls of the same norm."""
    assert white.step_size is not None
    # In this ball lies the image that is grey all over, whatever the image in its middle.
    wide = 0.5 if white.norm == "linf" else 0.5 * images[0].numel() ** 0.5
    corner = PGD(white.eps, 1, white.eps, random_start=False, norm=white.norm)
    twice = 2 * white.eps if white.norm == "l2" else min(1.0, 2 * white.eps)
    return {
        "white": white,
        "one": FGSM(white.eps) if white.norm == "linf" else corner,
        "more": replace(white, steps=MORE * white.steps, step_size=white.step_size / MORE),
        "twice": replace(white, eps=twice, step_size=2 * white.step_size),
        "wide": PGD(wide, max(20, white.steps), norm=white.norm),
        "square": Square(white.eps, queries, norm=white.norm),
    }


def _reports(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    attacks: dict[str, Attack],
    n: int | None,
    seed: int,
    batch_size: int,
    progress: Callable[[float], None] | None,
    cancel: Cancel,
) -> dict[str, Report]:
    """What every attack leaves of the same images."""
    whole = sum(each.forwards for each in attacks.values())
    found: dict[str, Report] = {}
    done = 0
    for name, each in attacks.items():

        def told(share: float, _partial: object, at: int = done, of: int = each.forwards) -> None:
            if progress is not None:
                progress(0.95 * (at + share * of) / whole)

        try:
            found[name] = evaluate(
                model, data, each, n=n, seed=seed, batch_size=batch_size, progress=told,
                cancel=cancel,
            )  # fmt: skip
        except DataError:
            if name != "square" or each.norm != "l2":  # some sizes have no patterns in ℓ2
                raise
        done += each.forwards
    return found


def _stood(report: Report) -> tuple[str, Mask]:
    assert report.attack is not None
    assert report.robust_mask is not None
    return report.attack.label, report.robust_mask


@torch.no_grad()
def _noise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    white: PGD,
    seed: int,
    batch_size: int,
    cancel: Cancel,
) -> Mask:
    """Which images survive every one of some random points on the edge of the ball."""
    generator = torch.Generator().manual_seed(seed)  # the CPU's: the same on every device
    found = []
    for images, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        stop_if(cancel)
        stands = is_correct(model(images), labels)
        for _ in range(TRIES):
            stop_if(cancel)
            noise = torch.randn(images.shape, generator=generator).to(images)
            if white.norm == "linf":
                noise = noise.sign()
            else:
                noise = noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
            stands = stands & is_correct(model((images + white.eps * noise).clamp(0, 1)), labels)
        found.append(stands.cpu())
    return torch.cat(found).numpy()


def _flat(
    model: nn.Module, x: Tensor, y: Tensor, batch_size: int, cancel: Cancel
) -> tuple[int, int]:
    """On how many images the loss has no slope, of how many that the network is right on."""
    flat = right = 0
    for images, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        stop_if(cancel)
        with torch.inference_mode(False), torch.enable_grad():
            at = images.clone().requires_grad_()
            scores = model(at)
            loss = F.cross_entropy(scores, labels, reduction="sum")
            (slope,) = torch.autograd.grad(loss, at, allow_unused=True, materialize_grads=True)
        known = is_correct(scores.detach(), labels)
        steep = torch.isfinite(slope).flatten(1).all(1)
        steep &= (slope != 0).flatten(1).any(1)
        flat += int((known & ~steep).sum())
        right += int(known.sum())
    return flat, right


@torch.no_grad()
def _answer_to_grey(model: nn.Module, images: Tensor) -> int:
    return int(model(torch.full_like(images[:1], 0.5)).argmax())
