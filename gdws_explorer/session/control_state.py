"""The state that undo keeps: a plan with its locks and skips, and the budget that made it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.budget_scale import RULES, WEIGHINGS, budget_weights, network_number


class HeldLayers(TypedDict):
    """The layers that a budget leaves as they are, as arguments of `Network.budget`."""

    skip: Collection[str]
    fixed: Mapping[str, Choice]


@dataclass(frozen=True)
class BudgetSetting:
    """The budget slider. by : one of NETWORK_MEANINGS. position : in [0, 1]."""

    by: str = "macs"
    position: float = 1.0


@dataclass(frozen=True)
class ControlState:
    """A plan, its locked and skipped layers, and the settings of the budget slider.

    families : those that the budget slider may use.
    weighing : how it compares the layers' errors: "relative" to each kernel, or "squared", as
        they are.
    budget : its meaning and position, while the plan is the one that it made.
    """

    plan: Plan
    locked: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    families: tuple[str, ...] = tuple(FAMILIES)
    weighing: str = "relative"
    budget: BudgetSetting | None = None

    @property
    def held(self) -> HeldLayers:
        """Locked layers stay as they are, skipped ones dense."""
        fixed = {name: self.plan[name] for name in self.locked}
        return {"skip": self.skipped - self.locked, "fixed": fixed}

    def choose(self, name: str, choice: Choice) -> ControlState:
        """Changes one layer: it is no longer skipped, and the plan is no longer the budget's."""
        skipped = self.skipped if isinstance(choice, Dense) else self.skipped - {name}
        plan = self.plan.replace(name, choice)
        return replace(self, plan=plan, skipped=skipped, budget=None)

    def lock(self, name: str, on: bool) -> ControlState:
        """Locks a layer, so that the budget slider leaves it as it is, or unlocks it."""
        self.plan[name]
        return replace(self, locked=_with(self.locked, name, on))

    def skip(self, name: str, on: bool) -> ControlState:
        """Makes a layer dense and keeps it so when the budget slider moves, or ends that."""
        plan = self.plan.replace(name, Dense()) if on else self.plan
        locked = self.locked - {name} if on else self.locked
        return replace(self, plan=plan, locked=locked, skipped=_with(self.skipped, name, on))

    def under(self, network: Network, budget: BudgetSetting) -> ControlState:
        """The state after the budget slider moved; too small a budget gives the cheapest."""
        number = network_number(network, budget.by, budget.position)
        if budget.by in RULES:
            plan = network.lego(number, **self.held)
        else:
            try:
                plan = self.bounded(network, budget.by, number)
            except BudgetError:
                plan = self.bounded(network, budget.by, self._least(network, budget.by))
        return replace(self, plan=plan, budget=budget)

    def _least(self, network: Network, by: str) -> float:
        weights = budget_weights(network, self.weighing)
        least = network.least(by, families=self.families, weights=weights, **self.held)
        return least / dense_ms(network) if by == "ms" else least

    def bounded(self, network: Network, by: str, share: float) -> Plan:
        """The plan of a budget; BudgetError if it is too small.

        by : "macs", "params", "ms" or "error". share : a fraction of the dense network's.
        """
        macs, params, error, ms = (
            share if by == measure else None for measure in ("macs", "params", "error", "ms")
        )
        if ms is not None:
            ms *= dense_ms(network)
        return network.budget(
            macs=macs,
            params=params,
            error=error,
            ms=ms,
            families=self.families,
            weights=budget_weights(network, self.weighing),
            exact=False,  # a slider moves sixty times a second
            **self.held,
        )

    def allow(self, network: Network, families: tuple[str, ...]) -> ControlState:
        """Changes the families of the budget slider and computes its plan again."""
        return replace(self, families=families)._again(network)

    def weigh(self, network: Network, weighing: str) -> ControlState:
        """Changes how the layers' errors are compared and computes the budget's plan again."""
        if weighing not in WEIGHINGS:
            raise BudgetError(f"unknown weighing {weighing!r}; expected one of {WEIGHINGS}.")
        return replace(self, weighing=weighing)._again(network)

    def _again(self, network: Network) -> ControlState:
        return self if self.budget is None else self.under(network, self.budget)

    def on(self, network: Network) -> ControlState:
        """The same state for another view of the network.

        The budget computes its plan again where it made the present one. Otherwise choices stay,
        and one that the view does not have becomes its best at no more MACs.
        """
        choices = {name: _nearest(network, name, choice) for name, choice in self.plan}
        moved = replace(self, plan=network.plan(choices))
        by = None if moved.budget is None else moved.budget.by
        # α weighs plain errors only; time has to be measured.
        if by == "alpha" or (by == "ms" and network.latencies is None):
            return replace(moved, budget=None)
        return moved._again(network)


def dense_ms(network: Network) -> float:
    """The milliseconds of the dense network. Raises BudgetError where no times were measured."""
    if network.latencies is None:
        raise BudgetError("no time is measured yet; press “Measure time”.")
    return network.latencies.dense


def _nearest(network: Network, name: str, choice: Choice) -> Choice:
    layer = network.layer(name)
    if family_of(choice) in ("dense", *layer.families):
        return choice
    if not layer.families:
        return Dense()
    table = network.table(name, layer.families)
    return table.choice(table.best(cost(layer, choice).macs))


def _with(names: frozenset[str], name: str, on: bool) -> frozenset[str]:
    return names | {name} if on else names - {name}
