"""The faders' state: a plan and how it is held, and what the network's budget makes of it."""

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
    """What a budget may not touch, as `Network.budget` takes it."""

    skip: Collection[str]
    fixed: Mapping[str, Choice]


@dataclass(frozen=True)
class BudgetSetting:
    """Where the network's fader stands. by : one of NETWORK_MEANINGS. position : in [0, 1]."""

    by: str = "macs"
    position: float = 1.0


@dataclass(frozen=True)
class ControlState:
    """A plan, what is locked and skipped, and which families the network's fader may use.

    weighing : how it compares the layers' errors: "relative" to each kernel, or "squared" as
        they are.
    budget : where that fader stands, while the plan is what it made of it.
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
        """One layer changed by hand: it is no longer skipped, and no budget made this plan."""
        skipped = self.skipped if isinstance(choice, Dense) else self.skipped - {name}
        plan = self.plan.replace(name, choice)
        return replace(self, plan=plan, skipped=skipped, budget=None)

    def lock(self, name: str, on: bool) -> ControlState:
        """Hold a layer as it is when the network's fader moves."""
        self.plan[name]
        return replace(self, locked=_with(self.locked, name, on))

    def skip(self, name: str, on: bool) -> ControlState:
        """Keep a layer dense whatever the network's fader says."""
        plan = self.plan.replace(name, Dense()) if on else self.plan
        locked = self.locked - {name} if on else self.locked
        return replace(self, plan=plan, locked=locked, skipped=_with(self.skipped, name, on))

    def under(self, network: Network, budget: BudgetSetting) -> ControlState:
        """The desk after the network's fader moved; a budget out of reach gives the cheapest."""
        number = network_number(network, budget.by, budget.position)
        if budget.by in RULES:
            plan = network.lego(number, **self.held)
        else:
            weights = budget_weights(network, self.weighing)
            least = network.least(budget.by, families=self.families, weights=weights, **self.held)
            plan = self.bounded(network, budget.by, max(number, least))
        return replace(self, plan=plan, budget=budget)

    def bounded(self, network: Network, by: str, share: float) -> Plan:
        """`network.budget` of "macs", "params" or "error"; out of reach is an error."""
        macs, params, error = (share if by == one else None for one in ("macs", "params", "error"))
        return network.budget(
            macs=macs,
            params=params,
            error=error,
            families=self.families,
            weights=budget_weights(network, self.weighing),
            exact=False,  # a slider moves sixty times a second
            **self.held,
        )

    def allow(self, network: Network, families: tuple[str, ...]) -> ControlState:
        """Change the families that the network's fader may use, and move it where it stands."""
        return replace(self, families=families)._again(network)

    def weigh(self, network: Network, weighing: str) -> ControlState:
        """Change how the layers' errors are compared, and move the fader where it stands."""
        if weighing not in WEIGHINGS:
            raise BudgetError(f"{weighing!r} is no weighing; expected one of {WEIGHINGS}.")
        return replace(self, weighing=weighing)._again(network)

    def _again(self, network: Network) -> ControlState:
        return self if self.budget is None else self.under(network, self.budget)

    def on(self, network: Network) -> ControlState:
        """The same desk for the same network from another source.

        The network's fader makes its plan anew where it made the present one; otherwise choices
        stay, and what the source cannot make becomes what it can at no more MACs.
        """
        choices = {name: _nearest(network, name, choice) for name, choice in self.plan}
        moved = replace(self, plan=network.plan(choices))
        if moved.budget is not None and moved.budget.by == "alpha":  # α weighs plain errors only
            return replace(moved, budget=None)
        return moved._again(network)


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
