"""The budget that the layers of a network share, and the rule that chooses their ranks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.budget.solver import WORDS, at_most, check_fraction
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice, Dense
from gdws_explorer.network.plans.cost import cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.utils.checks import checked_choice, checked_whole, is_number

VALUES = ("raw", "squared", "relative")


@dataclass(frozen=True)
class RankRule:
    """Settings for the choice of ranks; they cover the points that the paper leaves open.

    values : the value of a rank: its singular value ("raw"), the square of it ("squared"), or the
        square divided by the layer's squared norm ("relative"). by_cost : whether the value is
        divided by the cost that releasing the rank saves. floor : the least rank. sweeps : of HOOI
        at the chosen Tucker-2 ranks; 0 takes the truncated HOSVD. pooled : False takes instead the
        ranks of least total error in the budget, with the tables of `Network.budget` (ours).
    """

    values: Literal["raw", "squared", "relative"] = "relative"
    by_cost: bool = True
    floor: int = 1
    sweeps: int = 0
    pooled: bool = True

    def __post_init__(self) -> None:
        checked_choice("values", self.values, VALUES, error=BudgetError)
        if not self.pooled and self.values == "raw":
            raise BudgetError(
                'values is "raw" with pooled=False, which sums squares; expected "squared" or '
                '"relative".'
            )
        for name, least in (("floor", 1), ("sweeps", 0)):
            value = checked_whole(name, getattr(self, name), least, error=BudgetError)
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class RankBudget:
    """The budget of a whole network, and the layers that share it.

    layers : the layers that share the budget, by name. family : of their approximations; a layer
    may also stay dense. measure : "params" or "macs". limit : the most that the whole network may
    have. total : of the dense network.
    """

    layers: Mapping[str, Layer]
    family: str
    measure: str
    limit: int
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
        """Returns a budget from exactly one of `ratio`, `params` and `macs`.

        ratio : how many times fewer parameters than the dense network, above 1. params, macs :
        fractions of the dense network in (0, 1]. skip : layers that stay dense; None for the
        layers that the network's budgets skip. Raises BudgetError.
        """
        measure, fraction = _fraction(ratio, params, macs)
        if family not in ("tucker2", "gdws"):
            raise BudgetError(f"family is {family!r}; expected 'tucker2' or 'gdws'.")
        skipped = network.skip if skip is None else frozenset(skip)
        for name in skipped:
            network.layer(name)  # raises for an unknown name
        able = [
            name
            for name in network.names
            if name not in skipped and family in network.layer(name).families
        ]
        if not able:
            raise BudgetError(
                f"no layer of the network can become {FAMILIES[family].label}"
                f"{network.planner.layers.obstacle}; choose another family, or skip fewer layers."
            )
        layers = {name: network.layer(name) for name in able}
        total = int(getattr(network, measure))
        return cls(layers, family, measure, at_most(fraction, total), total)

    @property
    def fixed_cost(self) -> int:
        """The cost of everything else: other layers and BatchNorm."""
        return self.total - sum(int(getattr(x, self.measure)) for x in self.layers.values())

    def full_ranks(self, name: str) -> tuple[int, ...]:
        """Returns the ranks at which a layer's approximation is exact."""
        out, channels, *kernel = self.layers[name].weight_shape
        area = math.prod(kernel)
        if self.family == "gdws":
            return (channels * min(out, area),)
        return min(out, channels * area), min(channels, out * area)

    def cost(self, choices: Mapping[str, Choice]) -> int:
        """Returns the cost of the whole network with these choices; other layers are dense."""
        return self.fixed_cost + sum(
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
    if not is_number(value) or not value > 1:
        raise BudgetError(
            f"ratio is {value}; expected how many times fewer parameters, a number above 1."
        )
    return "params", 1 / value
