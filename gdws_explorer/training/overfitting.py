"""Detection of catastrophic overfitting in training against a single gradient step.

In catastrophic overfitting (Wong et al., ICLR 2020) the accuracy under FGSM rises within a few
hundred steps while that under PGD falls to nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.interval import wilson
from gdws_explorer.typing import Cancel

SHARE = 0.25
# Checks per epoch, the last one at its end, and the most images of a batch for one check: a
# hundredth of the epoch's work.
CHECKS, IMAGES = 2, 64


def catastrophic_overfitting(
    model: nn.Module, x: Tensor, y: Tensor, easy: Attack, hard: Attack, cancel: Cancel = None
) -> str | None:
    """Returns a note if PGD leaves less than a quarter of the accuracy that one step leaves.

    None otherwise. The upper end of PGD's 95 % interval is compared, so that few images give no
    false alarm.

    model : the network itself; its average overfits later. x, y : a batch. easy, hard : the attack
    learned from, and PGD-10.
    """
    x, y = x[:IMAGES], y[:IMAGES]
    first = evaluate(model, (x, y), easy, batch_size=len(y), cancel=cancel)
    second = evaluate(model, (x, y), hard, batch_size=len(y), cancel=cancel)
    assert first.robust_correct is not None
    assert second.robust_correct is not None
    most = wilson(second.robust_correct, second.n)[1]
    if most >= SHARE * first.robust_correct / first.n:
        return None
    return (
        f"catastrophic overfitting: {first.robust_correct} of {first.n} images are "
        f"correct under {easy.label} and {second.robust_correct} under {hard.label}"
    )
