"""Signs of masked gradients, derived from the results of several attacks on the same images.

After Athalye, Carlini & Wagner (ICML 2018, sec. 3.1) and Carlini et al. (arXiv 1902.06705, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gdws_explorer.robust.interval import wilson
from gdws_explorer.robust.paired_difference import PairedDifference, paired_difference
from gdws_explorer.typing import BoolArray

Result = tuple[str, BoolArray]
"""The label of an attack, and the images that are correct under it, bool `(n,)`."""

SIGNIFICANCE = 0.01  # largest p-value at which a comparison warns
TOLERANCE = 0.01  # fraction of images that may go wrong without a warning
STRONGER = (
    "Do not report this robust accuracy; measure with gx.AutoAttack, which tries several losses "
    "and a search without gradients"
)


@dataclass(frozen=True)
class AttackOutcome:
    """The count of correct images after an attack: `correct` of `n`; `label` names the attack."""

    label: str
    correct: int
    n: int

    @classmethod
    def of(cls, label: str, mask: BoolArray) -> AttackOutcome:
        """Returns the count of a mask of correct images, bool `(n,)`."""
        return cls(label, int(mask.sum()), len(mask))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the fraction."""
        return wilson(self.correct, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.label} {self.correct} of {self.n}, {low:.0%} to {high:.0%}"


@dataclass(frozen=True)
class MaskingSign:
    """The result of one check for masked gradients.

    name : a short name. warns : whether the sign was found. message : the observation and its
    meaning. advice : what to do; empty unless it warns. outcomes : the counts that were compared.
    p : of McNemar's exact test on the same images; None where no two attacks were compared.
    """

    name: str
    warns: bool
    message: str
    advice: str
    outcomes: tuple[AttackOutcome, ...]
    p: float | None = None

    def __str__(self) -> str:
        outcomes = "; ".join(map(str, self.outcomes))
        p = "" if self.p is None else f"; p {self.p:.2g}"
        head = f"{'WARNING' if self.warns else 'not seen'} – {self.name}: {self.message}"
        return " ".join(filter(None, [head, self.advice, f"[correct: {outcomes}{p}]"]))


def vanishing_gradient(vanishing: int, n: int) -> MaskingSign:
    """Checks whether too many of `n` images have a loss gradient of zeros, or with a NaN."""
    name = "the gradient vanishes"
    outcomes = (AttackOutcome("a gradient that is not zero", n - vanishing, n),) if n else ()
    if n and wilson(vanishing, n)[0] > TOLERANCE:
        message = (
            f"on {vanishing} of {n} images the loss has a gradient of exactly zero (or NaN), so "
            "PGD stays where it starts and finds nothing: that is not robustness."
        )
        advice = (
            "Look for rounding or thresholds between the image and the scores, and attack the "
            "network without them; where scores are very large, divide them by a constant, or use "
            "gx.APGD(eps, loss='dlr'), which does not depend on their size."
        )
        return MaskingSign(name, True, message, advice, outcomes)
    message = "the loss has a slope that an attack can follow."
    return MaskingSign(name, False, message, "", outcomes)


def weaker_attack_wins(name: str, rival: Result, gradient: Result, reason: str) -> MaskingSign:
    """Checks whether a weaker attack fools images that the gradient attack does not fool.

    rival, gradient : the results of both attacks. reason : why this would be a sign.
    """
    pairs = paired_difference(gradient[1], rival[1])
    outcomes = AttackOutcome.of(*rival), AttackOutcome.of(*gradient)
    if _significantly_fewer(pairs):
        message = (
            f"{rival[0]} fools {pairs.only_first} images that {gradient[0]} does not (the other "
            f"way round {pairs.only_second}). {reason}"
        )
        return MaskingSign(name, True, message, f"{STRONGER}.", outcomes, pairs.p)
    message = f"{rival[0]} does not fool significantly more images than {gradient[0]}."
    return MaskingSign(name, False, message, "", outcomes, pairs.p)


def more_steps(gradient: Result, more: Result, others: Mapping[str, BoolArray]) -> MaskingSign:
    """Checks whether more steps find nothing although there is something to find.

    More steps that find nothing new are normal if PGD has converged. The sign is that they fool
    fewer images, or that other attacks fool many images which they do not fool.

    gradient, more : results of PGD, and of PGD with more steps. others : results of other attacks,
    by label.
    """
    name = "more steps do not help"
    outcomes = AttackOutcome.of(*more), AttackOutcome.of(*gradient)
    lost = paired_difference(more[1], gradient[1])
    if _significantly_fewer(lost):
        message = (
            f"{more[0]} does not fool {lost.only_first} images that {gradient[0]} fools: smaller "
            "steps should climb the loss better, so its surface must be rugged."
        )
        advice = f"{STRONGER}; look for something noisy or rippled before the first layer."
        return MaskingSign(name, True, message, advice, outcomes, lost.p)
    rest = np.logical_and.reduce(list(others.values()))
    missed = paired_difference(more[1], rest)
    helped = paired_difference(gradient[1], more[1])
    if _significantly_fewer(missed) and not _significantly_fewer(helped):
        message = (
            f"{more[0]} fools {helped.only_first} images more than {gradient[0]}, while "
            f"{', '.join(others)} together fool {missed.only_first} that it does not: there are "
            "adversarial examples, and the gradient does not lead to them."
        )
        all_outcomes = (*outcomes, AttackOutcome.of("the others", rest))
        return MaskingSign(name, True, message, f"{STRONGER}.", all_outcomes, missed.p)
    message = "more and smaller steps find what there is, as far as other attacks can tell."
    return MaskingSign(name, False, message, "", outcomes, missed.p)


def larger_ball(gradient: Result, wider: Result) -> MaskingSign:
    """Checks whether accuracy rises in a larger ball, which contains all of the smaller one."""
    name = "a larger ε does not hurt"
    pairs = paired_difference(wider[1], gradient[1])
    outcomes = AttackOutcome.of(*wider), AttackOutcome.of(*gradient)
    if _significantly_fewer(pairs):
        message = (
            f"{wider[0]} does not fool {pairs.only_first} images that {gradient[0]} fools, "
            "although every image of the smaller ball is allowed: the attack fails to find them."
        )
        return MaskingSign(name, True, message, f"{STRONGER}.", outcomes, pairs.p)
    return MaskingSign(name, False, "accuracy does not rise with ε.", "", outcomes, pairs.p)


def unbounded_attack(wide: Result, grey_is_wrong: BoolArray) -> MaskingSign:
    """Checks whether images stay correct although the all-grey image of their ball is wrong."""
    name = "an attack without bounds does not reach 0 %"
    missed = int((wide[1] & grey_is_wrong).sum())
    outcomes = (AttackOutcome.of(*wide),)
    if wilson(missed, len(grey_is_wrong))[0] > TOLERANCE:
        message = (
            f"{wide[0]} may turn every image all grey, and the network is wrong on grey for these, "
            f"yet {missed} of {len(grey_is_wrong)} images stay correct: the attack fails, and the "
            "network need not be robust."
        )
        return MaskingSign(name, True, message, f"{STRONGER}.", outcomes)
    message = "every image that can be fooled is fooled."
    return MaskingSign(name, False, message, "", outcomes)


def _significantly_fewer(pairs: PairedDifference) -> bool:
    """Whether significantly fewer images are correct under the second attack."""
    return pairs.only_first > pairs.only_second and pairs.p < SIGNIFICANCE
