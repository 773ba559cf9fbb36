"""Robust accuracy while dragging: the dense network's attacked images, shown to the present plan.

An upper bound, see `robust.transfer`; the latest plan wins, in a thread that lives only while there
is one to look at.
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
    """One plan of one view of the network, and the images to show it."""

    network: Network
    plan: Plan
    twins: AdversarialExamples


class LiveEstimates:
    """Estimates of one network's plans on its images, while they are switched on.

    data : images and labels, or None where nothing can be measured. told : called, from the thread
    that works, when an estimate is there or could not be made.
    """

    def __init__(
        self,
        network: Network,
        data: tuple[Tensor, Tensor] | None,
        told: Callable[[], None],
    ) -> None:
        self.on = False
        self._proxy = None if data is None else TransferEstimator(network, data)
        self._told = told
        self._lock = threading.Lock()
        self._asked: EstimateRequest | None = None
        self._answer: tuple[EstimateRequest, TransferEstimate] | None = None
        self._worker: threading.Thread | None = None
        self.error: Exception | None = None

    def ready(self, attack: AttackSpec, n: int, seed: int) -> bool:
        """Whether the images of this setting are attacked."""
        return self._twins(attack, n, seed) is not None

    def check(self, attack: AttackSpec) -> tuple[TransferEstimator, Attack | AttackSequence]:
        """What it takes to attack; DataError without images or attack."""
        if self._proxy is None:
            raise DataError("there are no images to attack; open with data=(images, labels).")
        if attack is None:
            raise DataError("there is no attack to estimate under; choose one.")
        return self._proxy, attack

    def prepare(
        self,
        attack: AttackSpec,
        n: int,
        seed: int,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Attack the dense network once. Errors: as of `check`; Cancelled."""
        proxy, under = self.check(attack)
        proxy.make(under, n, seed, progress=progress, cancel=cancel)

    def want(self, network: Network, plan: Plan, attack: AttackSpec, n: int, seed: int) -> None:
        """Look at this plan next, instead of any other that waits; returns at once."""
        twins = self._twins(attack, n, seed)
        if not self.on or twins is None:
            return
        asked = EstimateRequest(network, plan, twins)
        with self._lock:
            idle = self._worker is None
            if idle and self._answer is not None and _same(self._answer[0], asked):
                return
            self._asked = asked
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="gdws-live", daemon=True)
                self._worker.start()

    def of(self, plan: Plan, attack: AttackSpec, n: int, seed: int) -> TransferEstimate | None:
        """The estimate of this plan, if it is made; switched off there is none."""
        twins, answer = self._twins(attack, n, seed), self._answer
        if not self.on or twins is None or answer is None:
            return None
        asked, found = answer
        return found if asked.plan == plan and asked.twins is twins else None

    def wait(self, timeout: float | None = None) -> None:
        """Block until nothing is asked for."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def close(self) -> None:
        """Ask for nothing more, and wait for the thread to end."""
        self.on = False
        with self._lock:
            self._asked = None
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(10)

    def _twins(self, attack: AttackSpec, n: int, seed: int) -> AdversarialExamples | None:
        if self._proxy is None or attack is None:
            return None
        return self._proxy.made(attack, n, seed)

    def _run(self) -> None:
        while True:
            with self._lock:
                asked, self._asked = self._asked, None
                if asked is None:
                    self._worker = None
                    return
            self._look(asked)

    def _look(self, asked: EstimateRequest) -> None:
        assert self._proxy is not None
        try:
            found = self._proxy.estimate(*asked, cancel=lambda: self._asked is not None)
        except Cancelled:
            return  # a newer plan waits
        except ExplorerError as error:
            self.error = error
        else:
            self._answer, self.error = (asked, found), None
        self._told()


def _same(one: EstimateRequest, other: EstimateRequest) -> bool:
    return one.plan == other.plan and one.twins is other.twins
