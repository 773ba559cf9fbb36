"""Robust accuracy of a plan, estimated from adversarial examples of the dense network.

The examples fool the dense network, or nearly do. A plan that is wrong on one of them is not robust
on that image. A plan that is right on it may still be fooled by an example made for the plan
itself. The fraction of correct examples is therefore an upper bound on the accuracy under the worst
image of the ball, and nearly always lies above the accuracy under an attack on the plan itself. It
takes milliseconds, so that it can follow a slider.
"""

from __future__ import annotations

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
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence, stages_of
from gdws_explorer.typing import AnyProgressFn, Cancel
from gdws_explorer.utils.cancel import stop_if
from gdws_explorer.utils.devices import device_of
from gdws_explorer.utils.format import with_interval
from gdws_explorer.utils.modules import preserve_modes
from gdws_explorer.utils.precision import scores_of
from gdws_explorer.utils.threads import threads_for, torch_threads

LABEL = "transfer, upper bound"
CACHE_SIZE = 4  # settings whose adversarial examples stay in memory


@dataclass(frozen=True)
class TransferEstimate(AccuracyCounts):
    """An estimate from adversarial examples that were made for another network.

    clean_correct : correct images without attack. robust_correct : images that are also correct as
    adversarial examples. n : number of images. attack, seed : what made the examples.
    """

    clean_correct: int
    robust_correct: int
    n: int
    attack: Attack | AttackSequence
    seed: int

    label: ClassVar[str] = LABEL

    @property
    def clean(self) -> float:
        """The fraction correct without attack: measured, not estimated."""
        return self.clean_correct / self.n

    @property
    def robust(self) -> float:
        """The fraction correct both without attack and as adversarial examples."""
        return self.robust_correct / self.n

    def __str__(self) -> str:
        accuracy = with_interval(self.robust, self.robust_interval or (0.0, 1.0))
        return (
            f"{self.label} {accuracy}, n {self.n}, images attacked by {self.attack.label} on the "
            f"dense network, seed {self.seed}"
        )


@dataclass(frozen=True, eq=False)
class AdversarialExamples:
    """Images and their adversarial examples, made for one network.

    x, examples : `(n, C, H, W)`, in the order of the data. y : labels `(n,)`. report : of the
    network that they were made for; its robust accuracy is exactly the accuracy on the examples, up
    to rounding.
    """

    x: Tensor
    examples: Tensor
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
    progress: AnyProgressFn | None = None,
    cancel: Cancel = None,
) -> AdversarialExamples:
    """Attacks `model` once, on the images and under the noise of `evaluate`.

    An adversarial example is the last iterate that fooled the network, so that it lies well past
    the decision boundary; of a sequence, that of the first attack that fooled it. If nothing fooled
    the network, it is the result of the last attack. Settings and errors are those of `evaluate`;
    DataError without an attack.
    """
    if attack is None:
        raise DataError(
            "there is no attack to make adversarial examples with; give one, such as gx.PGD(8/255)."
        )
    report, run = run_evaluation(
        model,
        data,
        attack,
        n=n,
        seed=seed,
        batch_size=batch_size,
        device=device,
        progress=progress,
        cancel=cancel,
        with_examples=True,
    )
    assert run is not None
    return AdversarialExamples(run.x, run.examples, run.y, report)


def estimate_transfer(
    model: nn.Module,
    examples: AdversarialExamples,
    *,
    batch_size: int = BATCH,
    cancel: Cancel = None,
) -> TransferEstimate:
    """Returns an upper bound on a model's robust accuracy, from examples made for another network.

    Two forward passes, the second on the images that are correct in the first. model : images
    `(B, C, H, W)` in [0, 1] to scores, on any device. cancel : checked before every batch.
    """
    threads = threads_for(examples.x[0].numel() * batch_size)
    clean = robust = 0
    with torch.inference_mode(), preserve_modes(model), torch_threads(threads):
        model.eval()
        for part in torch.split(torch.arange(len(examples.y)), batch_size):
            stop_if(cancel)
            y = examples.y[part].to(device_of(model))
            correct = is_correct(scores_of(model, examples.x[part]), y)
            clean += int(correct.sum())
            if correct.any():
                attacked = examples.examples[part][correct.to(examples.examples.device)]
                robust += int(is_correct(scores_of(model, attacked), y[correct]).sum())
    attack = examples.report.attack
    assert attack is not None
    return TransferEstimate(clean, robust, len(examples.y), attack, examples.report.seed)


class TransferEstimator:
    """Transfer estimates for the plans of one network, with cached adversarial examples.

    network : any view of the model. data : images and labels, as `evaluate` takes them. `make` may
    run in another thread than `estimate`; `estimate` is for one thread at a time.
    """

    def __init__(self, network: Network, data: tuple[Any, Any]) -> None:
        self._network = network
        self._data = data
        self._views: dict[str | None, DenseView] = {}  # by the label of the trained weights
        self._cache: dict[tuple[Attack, int, int], AdversarialExamples] = {}

    def cached(
        self, attack: Attack | AttackSequence, n: int, seed: int = 0
    ) -> AdversarialExamples | None:
        """Returns the adversarial examples of a setting; None before `make` has made them."""
        return self._cache.get((_first(attack), n, seed))

    def make(
        self,
        attack: Attack | AttackSequence,
        n: int,
        seed: int = 0,
        *,
        progress: AnyProgressFn | None = None,
        cancel: Cancel = None,
    ) -> AdversarialExamples:
        """Makes and caches the adversarial examples of a setting, in about the time of one PGD.

        Of a sequence only the first attack is run, because the later ones may take hours; the
        estimates name the attack that made them. Errors are those of `make_adversarial_examples`.
        """
        cached = self.cached(attack, n, seed)
        if cached is not None:
            return cached
        made = make_adversarial_examples(
            self._network.model,
            self._data,
            _first(attack),
            n=n,
            seed=seed,
            progress=progress,
            cancel=cancel,
        )
        latest = list(self._cache.items())[1 - CACHE_SIZE :]
        self._cache = dict([*latest, ((_first(attack), n, seed), made)])
        return made

    def estimate(
        self, network: Network, plan: Plan, examples: AdversarialExamples, *, cancel: Cancel = None
    ) -> TransferEstimate:
        """Returns the estimate for one plan, in milliseconds; see `estimate_transfer`.

        network : the view of the model that the plan belongs to; a view that refits takes seconds.
        Raises PlanError, Cancelled.
        """
        if plan.weights not in self._views:
            self._views[plan.weights] = DenseView(network)
        shown = self._views[plan.weights].show(network, plan, cancel=cancel)
        return estimate_transfer(shown, examples, cancel=cancel)


def _first(attack: Attack | AttackSequence) -> Attack:
    return stages_of(attack)[0]
