"""The faders' state: a plan and how it is held, and what the network's budget makes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from gdws_explorer.errors import BudgetError
from gdws_explorer.explore.dial import RULES, network_number
from gdws_explorer.network.choices import Choice, Dense, family
from gdws_explorer.network.cost import cost
from gdws_explorer.network.families import FAMILIES
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan

WEIGHINGS = ("relative", "squared")


class Held(TypedDict):
    """What a budget may not touch, as `Network.budget` takes it."""

    skip: Collection[str]
    fixed: Mapping[str, Choice]


@dataclass(frozen=True)
class Budget:
    """Where the network's fader stands. by : one of NETWORK_MEANINGS. position : in [0, 1]."""

    by: str = "macs"
    position: float = 1.0


@dataclass(frozen=True)
class Desk:
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
    budget: Budget | None = None

    @property
    def held(self) -> Held:
        """Locked layers stay as they are, skipped ones dense."""
        fixed = {name: self.plan[name] for name in self.locked}
        return {"skip": self.skipped - self.locked, "fixed": fixed}

    def choose(self, name: str, choice: Choice) -> Desk:
        """One layer changed by hand: it is no longer skipped, and no budget made this plan."""
        skipped = self.skipped if isinstance(choice, Dense) else self.skipped - {name}
        plan = self.plan.replace(name, choice)
        return replace(self, plan=plan, skipped=skipped, budget=None)

    def lock(self, name: str, on: bool) -> Desk:
        """Hold a layer as it is when the network's fader moves."""
        self.plan[name]
        return replace(self, locked=_with(self.locked, name, on))

    def skip(self, name: str, on: bool) -> Desk:
        """Keep a layer dense whatever the network's fader says."""
        plan = self.plan.replace(name, Dense()) if on else self.plan
        locked = self.locked - {name} if on else self.locked
        return replace(self, plan=plan, locked=locked, skipped=_with(self.skipped, name, on))

    def under(self, network: Network, budget: Budget) -> Desk:
        """The desk after the network's fader moved; a budget out of reach gives the cheapest."""
        number = network_number(network, budget.by, budget.position)
        if budget.by in RULES:
            plan = network.lego(number, **self.held)
        else:
            weights = weighed(network, self.weighing)
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
            weights=weighed(network, self.weighing),
            exact=False,  # a slider moves sixty times a second
            **self.held,
        )

    def allow(self, network: Network, families: tuple[str, ...]) -> Desk:
        """Change the families that the network's fader may use, and move it where it stands."""
        return replace(self, families=families)._again(network)

    def weigh(self, network: Network, weighing: str) -> Desk:
        """Change how the layers' errors are compared, and move the fader where it stands."""
        if weighing not in WEIGHINGS:
            raise BudgetError(f"{weighing!r} is no weighing; expected one of {WEIGHINGS}.")
        return replace(self, weighing=weighing)._again(network)

    def _again(self, network: Network) -> Desk:
        return self if self.budget is None else self.under(network, self.budget)

    def on(self, network: Network) -> Desk:
        """The same desk for the same network from another source.

        The network's fader makes its plan anew where it made the present one; otherwise choices
        stay, and what the source cannot make becomes what it can at no more MACs.
        """
        choices = {name: _nearest(network, name, choice) for name, choice in self.plan}
        moved = replace(self, plan=network.plan(choices))
        if moved.budget is not None and moved.budget.by == "alpha":  # α weighs plain errors only
            return replace(moved, budget=None)
        return moved._again(network)


def weighed(network: Network, weighing: str) -> Literal["relative"] | None:
    """How a budget compares errors; a calibrated network knows it from its images."""
    return "relative" if weighing == "relative" and network.calibration is None else None


def _nearest(network: Network, name: str, choice: Choice) -> Choice:
    layer = network.layer(name)
    if family(choice) in ("dense", *layer.families):
        return choice
    if not layer.families:
        return Dense()
    table = network.table(name, layer.families)
    return table.choice(table.best(cost(layer, choice).macs))


def _with(names: frozenset[str], name: str, on: bool) -> frozenset[str]:
    return names | {name} if on else names - {name}
