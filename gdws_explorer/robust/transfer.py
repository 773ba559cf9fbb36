"""A robust accuracy to look at while dragging: images that were attacked once, shown to a plan.

The twins are those that fool the dense network, or nearly do. A plan that is wrong on one of them
is not robust on that image; one that is right on it may still be fooled by a twin made for itself.
So the share that stands is an upper bound on the accuracy under the worst image of the ball, and
nearly always lies above what an attack on the plan itself would leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.network.dense_view import DenseView
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.data_checks import is_correct
from gdws_explorer.robust.evaluation import BATCH, run_evaluation
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.report import PartialReport, Report
from gdws_explorer.robust.sequence import AttackSequence, stages_of
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import device_of, dtype_of
from gdws_explorer.utils.modules import preserve_modes
from gdws_explorer.utils.threads import threads_for, torch_threads

LABEL = "transfer, upper bound"
KEPT = 4  # settings whose twins stay in memory


@dataclass(frozen=True)
class TransferEstimate(AccuracyCounts):
    """An estimate from attacked images that were made for another network.

    clean_correct, robust_correct : images right as they are, and those right on their twin too.
    n : of so many. attack, seed : what made the twins.
    """

    clean_correct: int
    robust_correct: int
    n: int
    attack: Attack | AttackSequence
    seed: int

    label: ClassVar[str] = LABEL

    @property
    def clean(self) -> float:
        """Fraction right on the images as they are: measured, no estimate."""
        return self.clean_correct / self.n

    @property
    def robust(self) -> float:
        """Fraction right on the images and their twins."""
        return self.robust_correct / self.n

    def __str__(self) -> str:
        low, high = self.robust_interval or (0.0, 1.0)
        return (
            f"{self.label} {self.robust:.1%} ({low:.1%} to {high:.1%}), n {self.n}, images attacked"
            f" by {self.attack.label} on the dense network, seed {self.seed}"
        )


@dataclass(frozen=True, eq=False)
class AdversarialExamples:
    """Images, and their twins that were made for one network.

    x, twins : `(n, C, H, W)`, in the order of the data. y : labels `(n,)`. report : of the network
    they were made for; its robust accuracy is exactly what the twins leave it, up to rounding.
    """

    x: Tensor
    twins: Tensor
    y: Tensor
    report: Report


def make_adversarial_examples(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | AttackSequence,
    *,
    n: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    device: str | torch.device | None = None,
    progress: Callable[[float, PartialReport], None] | None = None,
    cancel: Cancel = None,
) -> AdversarialExamples:
    """Attack `model` once: the images `evaluate` would attack, under the same noise.

    An image's twin is the last iterate that fooled the network, so that it lies well past the
    boundary; of a staged attack, that of the first stage that did. Where nothing fooled it, what
    the last attack made of it. Settings and errors as in `evaluate`; DataError without an attack.
    """
    if attack is None:
        raise DataError("there is no attack to make twins with; give one, such as gx.PGD(8/255).")
    report, met = run_evaluation(
        model,
        data,
        attack,
        n=n,
        seed=seed,
        batch_size=batch_size,
        device=device,
        progress=progress,
        cancel=cancel,
        keep=True,
    )
    assert met is not None
    return AdversarialExamples(met.x, met.twins, met.y, report)


def estimate_transfer(
    model: nn.Module, twins: AdversarialExamples, *, batch_size: int = BATCH, cancel: Cancel = None
) -> TransferEstimate:
    """What twins made for another network leave of a model's accuracy, an upper bound.

    Two forward passes, the second on what is right in the first. model : images `(B, C, H, W)` in
    [0, 1] to scores, on any device. cancel : looked at before every batch. Errors: Cancelled.
    """
    where, dtype = device_of(model), dtype_of(model)
    clean = robust = 0
    with (
        torch.inference_mode(),
        preserve_modes(model),
        torch_threads(threads_for(twins.x[0].numel() * batch_size)),
    ):
        model.eval()
        for part in torch.arange(len(twins.y)).split(batch_size):
            stop_if(cancel)
            y = twins.y[part].to(where)
            stands = is_correct(model(twins.x[part].to(where, dtype)), y)
            clean += int(stands.sum())
            if stands.any():
                attacked = twins.twins[part].to(where, dtype)[stands]
                robust += int(is_correct(model(attacked), y[stands]).sum())
    attack = twins.report.attack
    assert attack is not None
    return TransferEstimate(clean, robust, len(twins.y), attack, twins.report.seed)


class TransferEstimator:
    """Transfer estimates of one network's plans; its twins are made once per setting and kept.

    network : any view of the model. data : images and labels, as `evaluate` takes them. `make` may
    run in another thread than `estimate`, which is for one thread at a time.
    """

    def __init__(self, network: Network, data: tuple[Any, Any]) -> None:
        self._network = network
        self._data = data
        self._rebuilt: dict[str | None, DenseView] = {}  # by the trained weights that it has
        self._known: dict[tuple[Attack, int, int], AdversarialExamples] = {}

    def made(
        self, attack: Attack | AttackSequence, n: int, seed: int = 0
    ) -> AdversarialExamples | None:
        """The twins of this setting, None before `make` made them."""
        return self._known.get((_first(attack), n, seed))

    def make(
        self,
        attack: Attack | AttackSequence,
        n: int,
        seed: int = 0,
        *,
        progress: Callable[[float], None] | None = None,
        cancel: Cancel = None,
    ) -> AdversarialExamples:
        """Make and keep the twins of this setting, about as long as one measurement of PGD takes.

        Of a staged attack only the first stage is run, for the later ones may take hours: the
        estimates say which attack made them. Errors as of `make_twins`.
        """
        known = self.made(attack, n, seed)
        if known is not None:
            return known
        made = make_adversarial_examples(
            self._network.model,
            self._data,
            _first(attack),
            n=n,
            seed=seed,
            progress=None if progress is None else lambda done, _partial: progress(done),
            cancel=cancel,
        )
        latest = list(self._known.items())[1 - KEPT :]
        self._known = dict([*latest, ((_first(attack), n, seed), made)])
        return made

    def estimate(
        self,
        network: Network,
        plan: Plan,
        twins: AdversarialExamples,
        *,
        cancel: Callable[[], bool] | None = None,
    ) -> TransferEstimate:
        """The estimate of one plan, in milliseconds: see `transfer`.

        network : the view of the model that the plan is of; one that refits takes seconds. Errors:
        PlanError, Cancelled.
        """
        if plan.weights not in self._rebuilt:
            self._rebuilt[plan.weights] = DenseView(network)
        shown = self._rebuilt[plan.weights].show(network, plan, cancel=cancel)
        return estimate_transfer(shown, twins, cancel=cancel)


def _first(attack: Attack | AttackSequence) -> Attack:
    return stages_of(attack)[0]
