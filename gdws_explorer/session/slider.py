"""What the position of a fader means: error, complexity or rank; up always keeps more.

A position is a number in [0, 1]; a fader for ranks of Tucker-2 has two, r_out and r_in. The
number beside a fader is what a person would type: β, per cent of the dense MACs, or ranks.
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
    """The fader of one layer."""

    network: Network
    name: str

    def choice(self, one: str, by: str, positions: Sequence[float]) -> Choice:
        """The choice of family `one`, or "dense", at a position."""
        if one == "dense":
            return Dense()
        place = [min(1.0, max(0.0, p)) for p in positions]
        if by == "rank":
            most = self._most(one)
            chosen = (1 + round(p * (m - 1)) for p, m in zip(place, most, strict=True))
            return self._family(one).choice(*chosen)
        if by == "error":
            # A logarithm and back: a choice's own position must lead back to it.
            beta = self._energy * 10 ** (-DECADES * place[0]) * (1 + ROUNDING)
            return self._within_error(one, beta)
        return self._within_macs(one, place[0])

    def typed(self, one: str, by: str, numbers: Sequence[float]) -> Choice:
        """The choice for the number a person typed: β, per cent of MACs, or the ranks."""
        if one == "dense":
            return Dense()
        if by == "rank":
            most = self._most(one)
            for number, limit, label in zip(numbers, most, self._family(one).ranks, strict=True):
                if not (1 <= number <= limit and number == int(number)):
                    raise BudgetError(
                        f"{self.name}: {label} is {number:g}; expected a whole number from 1 to "
                        f"{limit}."
                    )
            return self._family(one).choice(*map(int, numbers))
        (number,) = numbers
        if by == "error":
            if not number >= 0:
                raise BudgetError(f"{self.name}: beta is {number:g}; expected a number ≥ 0.")
            return self._within_error(one, number)
        if not 0 < number <= 100:
            raise BudgetError(
                f"{self.name}: the MACs are {number:g} %; expected more than 0 and at most 100 %."
            )
        return self._within_macs(one, number / 100)

    def positions(self, choice: Choice, by: str) -> tuple[float, ...]:
        """Where a choice stands; a dense layer stands at the top."""
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
        if exact is None or exact[0] != by or len(exact[1]) != len(own):
            return own
        return exact[1] if self.choice(family_of(choice), by, exact[1]) == choice else own

    def numbers(self, choice: Choice, by: str) -> tuple[float, ...]:
        """What is written beside the fader: squared error, per cent of MACs, or ranks."""
        if by == "rank":
            return tuple(map(float, ranks_of(choice)))
        if by == "error":
            return (self.network.error(self.name, choice),)
        return (100 * self._macs(choice),)

    def break_even(self, one: str, by: str) -> float | None:
        """The position above which GDWS costs more MACs than the dense layer."""
        if one != "gdws":
            return None
        kernels = break_even(self.network.layer(self.name))
        if not 1 <= kernels <= self._most(one)[0]:
            return None
        return self.positions(GDWS(kernels), by)[0]

    @property
    def _energy(self) -> float:
        return self.network.energy(self.name)

    def _macs(self, choice: Choice) -> float:
        layer = self.network.layer(self.name)
        return float(cost(layer, choice).macs / layer.macs)

    def _family(self, one: str) -> Family:
        try:
            return FAMILIES[one]
        except KeyError:
            raise PlanError(f"{self.name}: there is no family {one!r}.") from None

    def _most(self, one: str) -> tuple[int, ...]:
        return self._family(one).most(self.network.spectrum(self.name, one))

    def _within_error(self, one: str, beta: float) -> Choice:
        table = self.network.table(self.name, (one,))
        return table.choice(table.cheapest(beta))

    def _within_macs(self, one: str, share: float) -> Choice:
        table = self.network.table(self.name, (one,))
        return table.choice(table.best(int(share * self.network.layer(self.name).macs)))
