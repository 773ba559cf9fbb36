"""The scale of a layer's slider: error, MACs or rank; higher always keeps more.

A position is a number in [0, 1]; with ranks of Tucker-2 there are two, r_out and r_in. The number
of a slider is what a person types: β, per cent of the dense MACs, or ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gdws_explorer.errors import BudgetError, PlanError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, family_of, ranks_of
from gdws_explorer.network.plans.cost import break_even, cost
from gdws_explorer.network.plans.families import FAMILIES, Family
from gdws_explorer.study.budget_scale import DECADES

MEANINGS = ("error", "macs", "rank")
ROUNDING = 1e-9  # of an error


@dataclass(frozen=True)
class LayerScale:
    """The scale of one layer's slider."""

    network: Network
    name: str

    def choice(self, family: str, by: str, positions: Sequence[float]) -> Choice:
        """The choice of family `one`, or "dense", at a position."""
        if family == "dense":
            return Dense()
        place = [min(1.0, max(0.0, p)) for p in positions]
        if by == "rank":
            most = self._most(family)
            chosen = (1 + round(p * (m - 1)) for p, m in zip(place, most, strict=True))
            return self._family(family).choice(*chosen)
        if by == "error":
            # Rounded up: the position of a choice must give this choice again.
            beta = self._energy * 10 ** (-DECADES * place[0]) * (1 + ROUNDING)
            return self._within_error(family, beta)
        return self._within_macs(family, place[0])

    def typed(self, family: str, by: str, numbers: Sequence[float]) -> Choice:
        """The choice for a typed number: β, per cent of the MACs, or the ranks."""
        if family == "dense":
            return Dense()
        if by == "rank":
            most = self._most(family)
            for number, limit, label in zip(numbers, most, self._family(family).ranks, strict=True):
                if not (1 <= number <= limit and number == int(number)):
                    raise BudgetError(
                        f"{self.name}: {label} is {number:g}; expected a whole number from 1 to "
                        f"{limit}."
                    )
            return self._family(family).choice(*map(int, numbers))
        (number,) = numbers
        if by == "error":
            if not number >= 0:
                raise BudgetError(f"{self.name}: beta is {number:g}; expected a number ≥ 0.")
            return self._within_error(family, number)
        if not 0 < number <= 100:
            raise BudgetError(
                f"{self.name}: the MACs are {number:g} %; expected more than 0 and at most 100 %."
            )
        return self._within_macs(family, number / 100)

    def positions(self, choice: Choice, by: str) -> tuple[float, ...]:
        """The positions of a choice; a dense layer has the highest."""
        if isinstance(choice, Dense):
            return (1.0,)
        if by == "rank":
            most = self._most(family_of(choice))
            return tuple(
                (r - 1) / max(1, m - 1) for r, m in zip(ranks_of(choice), most, strict=True)
            )
        if by == "error":
            share = self.network.error(self.name, choice) / (self._energy or 1.0)
            return (min(1.0, -math.log10(share) / DECADES) if share > 0 else 1.0,)
        return (min(1.0, self._macs(choice)),)

    def nearest_positions(
        self, choice: Choice, by: str, exact: tuple[str, tuple[float, ...]] | None
    ) -> tuple[float, ...]:
        """The positions of a choice: the exact ones that were last set, where they still fit.

        exact : a meaning and the positions that were set under it, or None.
        """
        own = self.positions(choice, by)
        if isinstance(choice, Dense):  # every position fits it, and it is at the top
            return own
        if exact is None or exact[0] != by or len(exact[1]) != len(own):
            return own
        return exact[1] if self.choice(family_of(choice), by, exact[1]) == choice else own

    def numbers(self, choice: Choice, by: str) -> tuple[float, ...]:
        """The numbers of a choice: squared error, per cent of the MACs, or ranks."""
        if by == "rank":
            return tuple(map(float, ranks_of(choice)))
        if by == "error":
            return (self.network.error(self.name, choice),)
        return (100 * self._macs(choice),)

    def break_even(self, family: str, by: str) -> float | None:
        """The position above which GDWS costs more MACs than the dense layer."""
        if family != "gdws":
            return None
        kernels = break_even(self.network.layer(self.name))
        if not 1 <= kernels <= self._most(family)[0]:
            return None
        return self.positions(GDWS(kernels), by)[0]

    def slower_from(self, family: str, by: str) -> float | None:
        """The position from which the layer takes as long as the dense one; None if unknown."""
        times = self.network.latencies
        if times is None or family not in times.families(self.name):
            return None
        rank = times.slower_from(self.name, family)
        if rank is None or rank > self._most(family)[0]:
            return None
        return self.positions(self._family(family).choice(rank), by)[0]

    @property
    def _energy(self) -> float:
        return self.network.energy(self.name)

    def _macs(self, choice: Choice) -> float:
        layer = self.network.layer(self.name)
        return float(cost(layer, choice).macs / layer.macs)

    def _family(self, name: str) -> Family:
        try:
            return FAMILIES[name]
        except KeyError:
            raise PlanError(
                f"{self.name}: unknown family {name!r}; expected one of {', '.join(FAMILIES)}."
            ) from None

    def _most(self, family: str) -> tuple[int, ...]:
        return self._family(family).most(self.network.spectrum(self.name, family))

    def _within_error(self, family: str, beta: float) -> Choice:
        table = self.network.table(self.name, (self._family(family).name,))
        return table.choice(table.cheapest(beta))

    def _within_macs(self, family: str, share: float) -> Choice:
        table = self.network.table(self.name, (self._family(family).name,))
        return table.choice(table.best(int(share * self.network.layer(self.name).macs)))
