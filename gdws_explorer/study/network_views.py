"""Views of a network by the source of its approximations: the weights, or images too."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from torch import Tensor

from gdws_explorer.errors import DataError, PlanError
from gdws_explorer.network.calibration.margins import (
    sample_images,
)
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.attack_base import Attack
from gdws_explorer.utils.sampling import ALPHA_IMAGES, CALIBRATION_IMAGES

KINDS = ("weights", "refit", "data")  # the weights; these, refitted on images; the images


def check_sources(sources: Collection[str]) -> None:
    """Raises DataError unless there is at least one source and all are of KINDS."""
    if not sources or any(source not in KINDS for source in sources):
        raise DataError(f"sources is {list(sources)}; expected some of {', '.join(KINDS)}.")


class NetworkViews:
    """One network: plain, refitted, calibrated under attacks, weighted by α, or trained.

    images : images `(N, C, H, W)` and labels (or None) to calibrate on, other than those that
        plans are measured on; None without calibration images. cache : where α is kept, as in
        `Network.alpha`. trained : descriptions of the trained networks, by label. weighted : the
        network weighted by the latest α, or None.
    """

    def __init__(
        self,
        network: Network,
        images: tuple[Tensor, Tensor | None] | None,
        cache: bool | str | os.PathLike[str] = False,
    ) -> None:
        self.plain = network
        self.images = images
        self._cache = cache
        self._calibrated: dict[str, Network] = {}  # refitted and trained ones too, by labels
        self.trained: dict[str, str] = {}
        self._refitted: Network | None = None
        self._by_attack: dict[Attack | None, Network] = {}
        self.weighted: Network | None = None
        self._weighed_under: Attack | None = None

    def of(self, plan: Plan) -> Network:
        """Returns the view that a plan belongs to; PlanError where it is not here."""
        if plan.calibration is None:
            return self.plain
        try:
            return self._calibrated[plan.calibration]
        except KeyError:
            if plan.trained:
                raise PlanError(
                    f"the plan's factors were trained ({plan.calibration[:16]}…) and are not "
                    "here; open the trained network that was saved with it."
                ) from None
            raise PlanError(
                f"the plan is made from data (calibration {plan.calibration[:12]}…) that was not "
                "read here; choose “from images” with the same images and attack."
            ) from None

    def knows(self, plan: Plan) -> bool:
        """Whether the view of a plan is here."""
        return plan.calibration is None or plan.calibration in self._calibrated

    def kind(self, plan: Plan) -> str:
        """Returns the source of a plan: one of KINDS, or "trained"."""
        if plan.calibration is None:
            return "weights"
        if plan.trained:
            return "trained"
        return "data" if self.of(plan).calibration is not None else "refit"

    def add(self, network: Network, words: str = "further") -> None:
        """Adds a trained network, as `Network.trained` returns it; PlanError for another one.

        words : a description of its training.
        """
        if network.fingerprint != self.plain.fingerprint or network.label is None:
            raise PlanError(
                "the trained network is not this one, trained further; expected what "
                "net.trained(model), gx.cstar or gx.finetune makes of it."
            )
        self._calibrated[network.label] = network
        self.trained[network.label] = words

    def named(self, label: str) -> Network:
        """Returns the trained network of this label; KeyError for an unknown label."""
        return self._calibrated[label]

    def use_latencies(self, latencies: LatencyTable | None) -> None:
        """Gives these times to all views; later ones begin with them, as views of the plain one."""
        later = (self._refitted, self.weighted, *self._calibrated.values())
        for network in (self.plain, *later):
            if network is not None:
                network.use_latencies(latencies)

    def refitted(self) -> Network:
        """Returns the plain network, refitted on the images; DataError without images."""
        if self._refitted is None:
            self._refitted = self.plain.refitted(self._images(CALIBRATION_IMAGES)[0])
            self._calibrated[str(self._refitted.label)] = self._refitted
        return self._refitted

    def calibrated(self, attack: Attack | None) -> Network | None:
        """Returns the network that was calibrated under this attack, or None."""
        return self._by_attack.get(attack)

    def calibrate(
        self,
        attack: Attack | None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Network:
        """Calibrates on the images under an attack, and returns the view; DataError."""
        x, y = self._images(CALIBRATION_IMAGES)
        made = self.plain.calibrate(x, y, attack, n=None, progress=progress, cancel=cancel)
        network = self.plain.calibrated(made, refit=x).prepare(cancel=cancel)
        self._calibrated[str(network.label)] = self._by_attack[attack] = network
        return network

    def views(
        self,
        kinds: Collection[str],
        attack: Attack | None,
        *,
        alpha: bool = False,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> tuple[Network, ...]:
        """Returns the views of some sources; images that they need are read now, under `attack`.

        kinds : some of KINDS. alpha : weigh the errors of the weights by α of eq. 8. Errors:
        DataError without images.
        """
        made: dict[str, Callable[[], Network]] = {
            "weights": lambda: self.weigh(attack, progress, cancel) if alpha else self.plain,
            "refit": self.refitted,
            "data": lambda: self._by_attack.get(attack) or self.calibrate(attack, progress, cancel),
        }
        found = tuple(made[kind]() for kind in dict.fromkeys(kinds))
        for network in found:  # each network has its own times
            if network.latencies is not self.plain.latencies:
                network.use_latencies(self.plain.latencies)
        return found

    def attack_of(self, plan: Plan) -> Attack | None:
        """Returns the attack that the calibration of a plan was made under."""
        same = (a for a, network in self._by_attack.items() if network.label == plan.calibration)
        return next(same, None)

    def knows_alpha(self, attack: Attack | None) -> bool:
        """Whether α of eq. 8 is computed, under this attack."""
        return self.weighted is not None and self._weighed_under == attack

    def weigh(
        self,
        attack: Attack | None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Network:
        """Computes α of eq. 8 from the images, and returns the view; DataError without images."""
        x, y = self._images(ALPHA_IMAGES)
        alpha = self.plain.alpha(
            x, y, attack, n=None, cache=self._cache, progress=progress, cancel=cancel
        )
        self.weighted, self._weighed_under = self.plain.weighted(alpha), attack
        return self.weighted

    def check(self) -> None:
        """Raises DataError unless there are images."""
        if self.images is None:
            raise DataError(
                "there are no images to learn from; open with gx.explore(…, calibration=images), "
                "a few hundred that nothing is measured on."
            )

    def _images(self, n: int) -> tuple[Tensor, Tensor | None]:
        self.check()
        return sample_images(self.images, n, seed=0)
