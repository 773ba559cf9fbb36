"""Verdicts of several attacks on the same images become signs of masked gradients, in words.

After Athalye, Carlini & Wagner (ICML 2018, sec. 3.1) and Carlini et al. (arXiv 1902.06705, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdws_explorer.robust.interval import wilson
from gdws_explorer.robust.paired_difference import PairedDifference, paired_difference

Mask = NDArray[np.bool_]

SURE = 0.01  # chance at most that a comparison warns of nothing
FEW = 0.01  # share of images that may go wrong without a word
STRONGER = (
    "Do not report this robust accuracy; measure with gx.AutoAttack, which tries several losses "
    "and a search without gradients"
)


@dataclass(frozen=True)
class AttackOutcome:
    """Images that the network is still right on: `correct` of `n`, after what `label` says."""

    label: str
    correct: int
    n: int

    @classmethod
    def of(cls, label: str, mask: Mask) -> AttackOutcome:
        """The count of a verdict, bool `(n,)`."""
        return cls(label, int(mask.sum()), len(mask))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the share."""
        return wilson(self.correct, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.label} {self.correct} of {self.n}, {low:.0%} to {high:.0%}"


@dataclass(frozen=True)
class MaskingSign:
    """One sign that was looked for.

    name : short. warns : whether it was found. says : what was seen and what it means. advice :
    what to do; empty unless it warns. figures : what it was judged by. p : of McNemar's exact
    test on the same images, None where no two attacks were compared.
    """

    name: str
    warns: bool
    says: str
    advice: str
    figures: tuple[AttackOutcome, ...]
    p: float | None = None

    def __str__(self) -> str:
        figures = "; ".join(map(str, self.figures))
        chance = "" if self.p is None else f"; p {self.p:.2g}"
        head = f"{'WARNING' if self.warns else 'not seen'} – {self.name}: {self.says}"
        return " ".join(filter(None, [head, self.advice, f"[right on: {figures}{chance}]"]))


def vanishing(flat: int, of: int) -> MaskingSign:
    """Whether the loss has no slope: `flat` of `of` images have a gradient of zeros, or a NaN."""
    name = "the gradient vanishes"
    figures = (AttackOutcome("a gradient that is not zero", of - flat, of),) if of else ()
    if of and wilson(flat, of)[0] > FEW:
        says = (
            f"on {flat} of {of} images the loss has a gradient of exactly zero (or no number), so "
            "PGD stays where it starts and finds nothing: that is no robustness."
        )
        advice = (
            "Look for rounding or thresholds on the way from the image to the scores, and attack "
            "the network without them; where scores are very large, divide them by a constant, or "
            "use gx.APGD(eps, loss='dlr'), which does not mind their size."
        )
        return MaskingSign(name, True, says, advice, figures)
    return MaskingSign(name, False, "the loss has a slope that an attack can follow.", "", figures)


def weaker_attack_wins(
    name: str, rival: tuple[str, Mask], white: tuple[str, Mask], why: str
) -> MaskingSign:
    """Whether a weaker attack fools what the gradient's does not. why : that this is a sign."""
    pairs = paired_difference(white[1], rival[1])
    figures = AttackOutcome.of(*rival), AttackOutcome.of(*white)
    if _falls(pairs):
        says = (
            f"{rival[0]} fools {pairs.only_first} images that {white[0]} does not (the other way "
            f"round {pairs.only_second}). {why}"
        )
        return MaskingSign(name, True, says, f"{STRONGER}.", figures, pairs.p)
    says = f"{rival[0]} fools no more images than {white[0]}, beyond chance."
    return MaskingSign(name, False, says, "", figures, pairs.p)


def more_steps(
    white: tuple[str, Mask], more: tuple[str, Mask], others: Mapping[str, Mask]
) -> MaskingSign:
    """Whether more steps find nothing where there is something to be found.

    That they find nothing new is as it should be where PGD has converged: the sign is that they
    lose images, or that other attacks fool many which they do not. others : these, by label.
    """
    name = "more steps do not help"
    figures = AttackOutcome.of(*more), AttackOutcome.of(*white)
    lost = paired_difference(more[1], white[1])
    if _falls(lost):
        says = (
            f"{more[0]} leaves {lost.only_first} images standing that {white[0]} fools: smaller "
            "steps should climb the loss better, so its surface must be rugged."
        )
        advice = f"{STRONGER}; look for something noisy or rippled before the first layer."
        return MaskingSign(name, True, says, advice, figures, lost.p)
    rest = np.logical_and.reduce(list(others.values()))
    missed, helped = paired_difference(more[1], rest), paired_difference(white[1], more[1])
    if _falls(missed) and not _falls(helped):
        says = (
            f"{more[0]} fools {helped.only_first} images more than {white[0]}, while "
            f"{', '.join(others)} together fool {missed.only_first} that it does not: there is "
            "something to be found, and the gradient does not lead there."
        )
        return MaskingSign(
            name,
            True,
            says,
            f"{STRONGER}.",
            (*figures, AttackOutcome.of("the others", rest)),
            missed.p,
        )
    says = "more and smaller steps find what there is, as far as other attacks can tell."
    return MaskingSign(name, False, says, "", figures, missed.p)


def larger(white: tuple[str, Mask], wider: tuple[str, Mask]) -> MaskingSign:
    """Whether the network stands more in a larger ball, which holds all of the smaller one."""
    name = "a larger ε does not hurt"
    pairs = paired_difference(wider[1], white[1])
    figures = AttackOutcome.of(*wider), AttackOutcome.of(*white)
    if _falls(pairs):
        says = (
            f"{wider[0]} leaves {pairs.only_first} images standing that {white[0]} fools, although "
            "it may do all that the other may: the attack loses its way."
        )
        return MaskingSign(name, True, says, f"{STRONGER}.", figures, pairs.p)
    return MaskingSign(name, False, "accuracy does not rise with ε.", "", figures, pairs.p)


def unbounded(wide: tuple[str, Mask], grey_is_wrong: Mask) -> MaskingSign:
    """Whether images stand that cannot: in a ball with the all-grey image, fooled by that one."""
    name = "an attack without bounds does not reach 0 %"
    missed = int((wide[1] & grey_is_wrong).sum())
    figures = (AttackOutcome.of(*wide),)
    if wilson(missed, len(grey_is_wrong))[0] > FEW:
        says = (
            f"{wide[0]} may turn every image all grey, and the network is wrong on grey for these, "
            f"yet {missed} of {len(grey_is_wrong)} images stand: the attack fails, not because the "
            "network is robust."
        )
        return MaskingSign(name, True, says, f"{STRONGER}.", figures)
    says = "where every image can be fooled, the attack fools it."
    return MaskingSign(name, False, says, "", figures)


def _falls(pairs: PairedDifference) -> bool:
    """Whether the second attack leaves fewer images, more surely than by chance."""
    return pairs.only_first > pairs.only_second and pairs.p < SURE
