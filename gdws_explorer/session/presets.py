"""Plans to start from, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.budget_scale import budget_weights


class PresetFn(Protocol):
    """Makes a plan for a network with some layers skipped and others fixed."""

    def __call__(
        self, network: Network, *, skip: Collection[str], fixed: Mapping[str, Choice]
    ) -> Plan:
        """Returns the plan."""
        ...


def _budget(share: float, *families: str) -> PresetFn:
    def make(network: Network, *, skip: Collection[str], fixed: Mapping[str, Choice]) -> Plan:
        allowed = families or None
        least = network.least("macs", families=allowed, skip=skip, fixed=fixed)
        return network.budget(
            macs=max(share, least), families=allowed, skip=skip, fixed=fixed,
            weights=budget_weights(network, "relative"),
        )  # fmt: skip

    return make


def _paper(network: Network, *, skip: Collection[str], fixed: Mapping[str, Choice]) -> Plan:
    return network.lego(0.005, skip=skip, fixed=fixed)


def _separable(network: Network, *, skip: Collection[str], fixed: Mapping[str, Choice]) -> Plan:
    """One kernel per input channel: the ordinary depthwise-separable convolution."""
    choices = {
        name: GDWS(channels, (1,) * channels)
        for name in network.names
        if "gdws" in network.layer(name).families and name not in skip
        for channels in [network.layer(name).weight_shape[1]]
    }
    held = {**{name: Dense() for name in skip if name in network.names}, **fixed}
    return network.plan({**choices, **held})


PRESETS: dict[str, PresetFn] = {
    "Half the MACs, best family per layer": _budget(0.5),
    "A third of the MACs, best family per layer": _budget(1 / 3),
    "Half the MACs, GDWS only": _budget(0.5, "gdws"),
    "Half the MACs, Tucker-2 only": _budget(0.5, "tucker2"),
    "The paper's rule: LEGO with β = 0.005": _paper,
    "Depthwise separable: one kernel per channel": _separable,
}
