"""A dense copy of a network that takes the kernels of one plan after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gdws_explorer.errors import PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import densify
from gdws_explorer.typing import Cancel
from gdws_explorer.utils.modules import own_copy
from gdws_explorer.utils.threads import one_thread


class DenseView:
    """A dense copy of a network for many plans in turn, from one thread at a time.

    Its outputs are those of `densify(network.build(plan))`, up to rounding, but only the kernels
    of layers that changed since the previous plan are computed.

    network : any view of the model; plans of its other views can be shown too.
    """

    def __init__(self, network: Network) -> None:
        self._fingerprint, self._weights = network.fingerprint, network.plan().weights
        self._model = own_copy(network.model)
        self._shown: dict[str, tuple[str | None, Choice]] = {}

    def show(self, network: Network, plan: Plan, *, cancel: Cancel = None) -> nn.Module:
        """Returns the plan's network, in eval mode; the next call may change it.

        network : the view that the plan belongs to. A view that refits builds the whole plan,
        which takes seconds and checks `cancel`. Raises PlanError, Cancelled.
        """
        network.check(plan)
        if network.fingerprint != self._fingerprint:
            raise PlanError(
                f"the plan is of another network (fingerprint {network.fingerprint[:12]}…, this "
                f"one has {self._fingerprint[:12]}…); make a DenseView of that one."
            )
        if plan.weights != self._weights:
            raise PlanError(
                "the plan belongs to other weights than this copy has, trained or not; make a "
                "DenseView of the network that it belongs to."
            )
        if network.refits_on is not None:
            return densify(network.build(plan, cancel=cancel))
        with one_thread():  # the matrices are small
            for name, choice in plan:
                state = (None if choice == Dense() else network.label, choice)
                if self._shown.get(name, (None, Dense())) != state:
                    self._set_kernel(name, _kernel(network, name, choice))
                    self._shown[name] = state
        return self._model

    def _set_kernel(self, name: str, kernel: Tensor) -> None:
        weight = self._model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight.copy_(kernel)


def _kernel(network: Network, name: str, choice: Choice) -> Tensor:
    """Returns the dense kernel of a layer under a choice."""
    if isinstance(choice, Dense):
        weight = network.model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight.detach()
    family = family_of(choice)
    return FAMILIES[family].kernel(network.spectrum(name, family), choice)
