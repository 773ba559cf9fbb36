"""Sweeps: grids of plans over β, budgets, families and single layers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.budget_scale import budget_weights, network_number

Values = int | Sequence[float]  # the number of values over the whole range, or the values
MEASURES = ("macs", "params")


@dataclass(frozen=True)
class Grid:
    """Grid of a sweep, which has every plan once.

    beta : bounds on each layer's squared error, the paper's experiment (`Network.lego`). An int is
        the number of bounds, evenly by their logarithm, from the one where the plan costs as much
        as the dense network to the one where it is cheapest.
    macs, params : budgets as fractions of the dense network (`Network.budget`). An int is the
        number of budgets, evenly from the least possible one to 1.
    families : budgets are met with each of these alone; "any" for all together. β is for GDWS.
    layers : if given, one of these layers at a time is approximated, and the budgets are fractions
        of that layer.
    """

    beta: Values = ()
    macs: Values = ()
    params: Values = ()
    families: Sequence[str] = ("any",)
    layers: Collection[str] | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("beta", *MEASURES)}
        for name, values in given.items():
            if isinstance(values, bool) or (isinstance(values, int) and values < 1):
                raise BudgetError(f"{name} is {values!r}; expected how many, or the values.")
            if not isinstance(values, int):
                object.__setattr__(self, name, tuple(float(value) for value in values))
        if not any(getattr(self, name) for name in given):
            raise BudgetError("a sweep needs beta=, macs= or params=: how many, or the values.")
        if isinstance(self.families, str):
            raise BudgetError(f"families is {self.families!r}; expected a list of names.")
        odd = [name for name in self.families if name not in ("any", *FAMILIES)]
        if odd or not self.families:
            raise BudgetError(
                f"families is {list(self.families)}; expected some of any, {', '.join(FAMILIES)}."
            )

    def plans(self, network: Network) -> tuple[Plan, ...]:
        """Returns the plans of one network; equal ones once. Errors: BudgetError, PlanError."""
        made = [*self._by_beta(network)]
        for measure in MEASURES:
            for family in self.families:
                families = tuple(FAMILIES) if family == "any" else (family,)
                made += self._by_budget(network, measure, families)
        return distinct(made)

    def _by_beta(self, network: Network) -> Iterable[Plan]:
        betas = _betas(network, self.beta) if isinstance(self.beta, int) else self.beta
        for name in self._each(network):
            skip = None if name is None else set(network.names) - {name}
            if name is None or "gdws" in network.layer(name).families:
                yield from (network.lego(beta, skip=skip) for beta in betas)

    def _by_budget(
        self, network: Network, measure: str, families: tuple[str, ...]
    ) -> Iterable[Plan]:
        values: Values = getattr(self, measure)
        if not values:
            return
        weights = budget_weights(network, "relative")
        for name in self._each(network):
            if name is not None:
                yield from _of_layer(network, name, measure, families, values)
                continue
            least = network.least(measure, families=families, weights=weights)
            for share in _shares(values, least):
                macs, params = (share if measure == each else None for each in MEASURES)
                yield network.budget(macs=macs, params=params, families=families, weights=weights)

    def _each(self, network: Network) -> Iterable[str | None]:
        """Returns None for the whole network, or the layers one after the other."""
        if self.layers is None:
            return [None]
        if isinstance(self.layers, str):
            raise PlanError(f"layers is the text {self.layers!r}; expected a list of names.")
        for name in self.layers:
            if not network.layer(name).families:
                raise PlanError(f"{name} can only stay dense; leave it out of the sweep.")
        return list(self.layers)


def distinct(plans: Iterable[Plan]) -> tuple[Plan, ...]:
    """Returns every plan once, in their order."""
    return tuple({plan.hash: plan for plan in plans}.values())


def _betas(network: Network, count: int) -> list[float]:
    """Returns `count` bounds over the useful range; a finer β costs more than dense."""
    low, high = 0.0, 1.0  # positions of the slider; a higher one keeps more
    for _ in range(30):
        middle = (low + high) / 2
        plan = network.lego(network_number(network, "beta", middle))
        low, high = (middle, high) if network.summary(plan).macs <= network.macs else (low, middle)
    return [network_number(network, "beta", position) for position in np.linspace(low, 0, count)]


def _shares(values: Values, least: float) -> Iterable[float]:
    if isinstance(values, int):
        return [min(1.0, float(share)) for share in np.linspace(least * (1 + 1e-12), 1, values)]
    return values


def _of_layer(
    network: Network, name: str, measure: str, families: tuple[str, ...], values: Values
) -> Iterable[Plan]:
    """Yields plans with one layer within fractions of its own cost, the others dense."""
    layer = network.layer(name)
    able = tuple(family for family in families if family in layer.families)
    if not able:
        return
    table = network.table(name, able, measure)
    dense = int(getattr(layer, measure))
    for share in _shares(values, float(table.cost[0]) / dense):
        if not 0 < share <= 1 or share * dense < table.cost[0]:
            raise BudgetError(
                f"{name}: a {measure} budget of {share:.3g} cannot be met; expected "
                f"{table.cost[0] / dense:.3g} to 1."
            )
        yield network.plan({name: table.choice(table.best(share * dense))})
