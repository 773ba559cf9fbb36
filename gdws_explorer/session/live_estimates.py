"""Robust accuracy while a slider moves: attacked images of the dense network, classified again.

The estimate is an upper bound, see `robust.transfer`. The latest plan replaces one that waits. The
thread exists only while there is a plan to estimate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from gdws_explorer.errors import Cancelled, DataError, ExplorerError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.robust.transfer import AdversarialExamples, TransferEstimate, TransferEstimator
from gdws_explorer.study.attack_settings import AttackSpec


class EstimateRequest(NamedTuple):
    """One plan of one view of the network, and the attacked images to classify."""

    network: Network
    plan: Plan
    examples: AdversarialExamples


class LiveEstimates:
    """Estimates of one network's plans on its images, while they are enabled.

    data : images and labels, or None where nothing can be measured. changed : called in the
    worker thread when an estimate is made or has failed, while no lock of this object is held.
    enabled : whether plans are estimated. error : why the latest one failed, or None.
    """

    def __init__(
        self,
        network: Network,
        data: tuple[Tensor, Tensor] | None,
        changed: Callable[[], None],
    ) -> None:
        self.enabled = False
        self.error: Exception | None = None
        self._estimator = None if data is None else TransferEstimator(network, data)
        self._changed = changed
        self._lock = threading.Lock()
        self._request: EstimateRequest | None = None
        self._answer: tuple[EstimateRequest, TransferEstimate] | None = None
        self._worker: threading.Thread | None = None

    def ready(self, attack: AttackSpec, n: int, seed: int) -> bool:
        """Whether the images of this setting are attacked."""
        return self._examples(attack, n, seed) is not None

    def check(self, attack: AttackSpec) -> tuple[TransferEstimator, Attack | AttackSequence]:
        """The estimator and the attack; DataError where there are no images or no attack."""
        if self._estimator is None:
            raise DataError("there are no images to attack; open with data=(images, labels).")
        if attack is None:
            raise DataError("there is no attack to estimate under; choose one.")
        return self._estimator, attack

    def prepare(
        self,
        attack: AttackSpec,
        n: int,
        seed: int,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Attacks the dense network once. Raises Cancelled, and errors as `check` does."""
        estimator, under = self.check(attack)
        estimator.make(under, n, seed, progress=progress, cancel=cancel)

    def request(self, network: Network, plan: Plan, attack: AttackSpec, n: int, seed: int) -> None:
        """Estimates this plan next, in place of one that waits; returns at once."""
        examples = self._examples(attack, n, seed)
        if not self.enabled or examples is None:
            return
        request = EstimateRequest(network, plan, examples)
        with self._lock:
            idle = self._worker is None
            if idle and self._answer is not None and _same(self._answer[0], request):
                return
            self._request = request
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="gdws-live", daemon=True)
                self._worker.start()

    def latest(self, plan: Plan, attack: AttackSpec, n: int, seed: int) -> TransferEstimate | None:
        """The estimate of this plan in this setting; None where it is not made, or not enabled."""
        if not self.enabled:
            return None
        examples, answer = self._examples(attack, n, seed), self._answer
        if examples is None or answer is None:
            return None
        request, estimate = answer
        return estimate if request.plan == plan and request.examples is examples else None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until no estimate is requested."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def close(self) -> None:
        """Disables the estimates and waits for the thread to end."""
        self.enabled = False
        with self._lock:
            self._request = None
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(10)

    def _examples(self, attack: AttackSpec, n: int, seed: int) -> AdversarialExamples | None:
        if self._estimator is None or attack is None:
            return None
        return self._estimator.cached(attack, n, seed)

    def _run(self) -> None:
        while True:
            with self._lock:
                request, self._request = self._request, None
                if request is None:
                    self._worker = None
                    return
            self._estimate(request)

    def _estimate(self, request: EstimateRequest) -> None:
        assert self._estimator is not None
        try:
            estimate = self._estimator.estimate(*request, cancel=lambda: self._request is not None)
        except Cancelled:
            return  # a newer plan waits
        except ExplorerError as error:
            self.error = error
        else:
            self._answer, self.error = (request, estimate), None
        self._changed()


def _same(one: EstimateRequest, other: EstimateRequest) -> bool:
    return one.plan == other.plan and one.examples is other.examples
