"""The budget of a whole network, the layers that share it, and the rule by which they do."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.budget.solver import WORDS, at_most, check_fraction
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.utils.checks import checked_whole

VALUES = ("raw", "squared", "relative")


@dataclass(frozen=True)
class RankRule:
    """How ranks are chosen; what the paper leaves open is an option.

    values : what a rank is worth: its singular value ("raw"), that "squared", or "relative", the
        square over its layer's squared norm. by_cost : whether the worth is divided by what the
        rank's release frees. floor : no rank goes below it. sweeps : of HOOI at the chosen
        Tucker-2 ranks; 0 takes the truncated HOSVD. pooled : False takes the ranks of least total
        error that the budget allows instead, by the tables of the explorer's budgets (ours).
    """

    values: Literal["raw", "squared", "relative"] = "relative"
    by_cost: bool = True
    floor: int = 1
    sweeps: int = 0
    pooled: bool = True

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            raise BudgetError(f"values is {self.values!r}; expected one of {', '.join(VALUES)}.")
        if not self.pooled and self.values == "raw":
            raise BudgetError('the least error is one of squares; with pooled=False, give "squared"'
                              ' or "relative" values.')  # fmt: skip
        for name, least in (("floor", 1), ("sweeps", 0)):
            value = checked_whole(name, getattr(self, name), least, error=BudgetError)
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class RankBudget:
    """The budget of a whole network, and the layers that share it.

    layers : those that take part, by name. family : what they become, or stay dense. measure :
    "params" or "macs". most : the whole network's, at most. total : the dense network's.
    """

    layers: Mapping[str, Layer]
    family: str
    measure: str
    most: int
    total: int

    @classmethod
    def of(
        cls,
        network: Network,
        family: str = "tucker2",
        *,
        ratio: float | None = None,
        params: float | None = None,
        macs: float | None = None,
        skip: Collection[str] | None = None,
    ) -> RankBudget:
        """A share of the dense network's parameters or MACs; exactly one of the three.

        ratio : how many times fewer parameters, above 1. params, macs : fractions in (0, 1].
        skip : layers that stay dense; None for those that the network's budgets skip.
        Errors: BudgetError.
        """
        measure, fraction = _fraction(ratio, params, macs)
        if family not in ("tucker2", "gdws"):
            raise BudgetError(f"family is {family!r}; expected 'tucker2' or 'gdws'.")
        left = network.skip if skip is None else frozenset(skip)
        for name in left:
            network.layer(name)
        able = [n for n in network.names if n not in left and family in network.layer(n).families]
        if not able:
            raise BudgetError(
                f"no layer of the network can become {FAMILIES[family].label}; choose another "
                "family, or skip fewer layers."
            )
        layers = {name: network.layer(name) for name in able}
        total = int(getattr(network, measure))
        return cls(layers, family, measure, at_most(fraction, total), total)

    @property
    def rest(self) -> int:
        """What these layers do not change: other layers and BatchNorm."""
        return self.total - sum(int(getattr(x, self.measure)) for x in self.layers.values())

    def full(self, name: str) -> tuple[int, ...]:
        """The ranks at which a layer is exact."""
        out, channels, *kernel = self.layers[name].weight_shape
        area = math.prod(kernel)
        if self.family == "gdws":
            return (channels * min(out, area),)
        return min(out, channels * area), min(channels, out * area)

    def cost(self, choices: Mapping[str, Choice]) -> int:
        """What the whole network costs when its layers become these; one left out is dense."""
        return self.rest + sum(
            int(getattr(cost(layer, choices.get(name, Dense())), self.measure))
            for name, layer in self.layers.items()
        )


def _fraction(ratio: float | None, params: float | None, macs: float | None) -> tuple[str, float]:
    given = {"ratio": ratio, "params": params, "macs": macs}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        raise BudgetError(
            f"{' and '.join(named) or 'no budget'} given; expected exactly one of ratio, params "
            "and macs."
        )
    ((name, value),) = named.items()
    if name != "ratio":
        check_fraction(f"the {WORDS[name]} budget", value)
        return name, value
    if not isinstance(value, int | float | np.number) or not 1 < value < np.inf:
        raise BudgetError(
            f"ratio is {value}; expected how many times fewer parameters, a number above 1."
        )
    return "params", 1 / value
