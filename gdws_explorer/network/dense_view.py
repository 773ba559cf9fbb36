"""One dense copy of a network that becomes plan after plan, kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gdws_explorer.errors import PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import densify
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.threads import one_thread


class DenseView:
    """A network for looking at many plans quickly, from one thread at a time.

    Up to rounding the same outputs as `densify(network.build(plan))`, but only the kernels of the
    layers that changed since the plan before are made.

    network : any view of the model; plans of its other views may be shown too.
    """

    def __init__(self, network: Network) -> None:
        self._fingerprint, self._weights = network.fingerprint, network.plan().weights
        self._model = own_copy(network.model)
        self._shown: dict[str, tuple[str | None, Choice]] = {}

    def show(
        self, network: Network, plan: Plan, *, cancel: Callable[[], bool] | None = None
    ) -> nn.Module:
        """The plan's network, in eval mode; the next call may change it.

        network : the view of the model that the plan is of. One that refits has to build the whole
        plan, which takes seconds: cancel is looked at meanwhile. Errors: PlanError, Cancelled.
        """
        network.check(plan)
        if network.fingerprint != self._fingerprint:
            raise PlanError(
                f"the plan is of another network (fingerprint {network.fingerprint[:12]}…, this "
                f"one has {self._fingerprint[:12]}…); make a Rebuilt of that one."
            )
        if plan.weights != self._weights:
            raise PlanError(
                "the plan is of other weights, trained or not, than this copy has; make a Rebuilt "
                "of the network that it is of."
            )
        if network.refits_on is not None:
            return densify(network.build(plan, cancel=cancel))
        with one_thread():  # the matrices are small
            for name, choice in plan:
                wanted = (None if choice == Dense() else network.label, choice)
                if self._shown.get(name, (None, Dense())) != wanted:
                    self._put(name, _kernel(network, name, choice))
                    self._shown[name] = wanted
        return self._model

    def _put(self, name: str, kernel: Tensor) -> None:
        weight = self._model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight.copy_(kernel)


def _kernel(network: Network, name: str, choice: Choice) -> Tensor:
    if isinstance(choice, Dense):
        weight = network.model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight.detach()
    one = family_of(choice)
    return FAMILIES[one].kernel(network.spectrum(name, one), choice)
