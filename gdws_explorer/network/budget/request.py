"""A network-wide budget as one value."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gdws_explorer.errors import BudgetError
from gdws_explorer.network.plans.choices import Choice
from gdws_explorer.network.plans.families import FAMILIES, FamilyLike, family_names

Weights = Mapping[str, float] | Literal["relative"] | None
BUDGETS = ("macs", "params", "error", "ms")
WORDS = {"macs": "MACs", "params": "parameters"}


@dataclass(frozen=True, eq=False)
class BudgetRequest:
    """One network-wide budget and its conditions; see `Network.budget`.

    measure : one of BUDGETS. amount : fraction of the dense network's total in (0, 1], for "ms"
        milliseconds of one batch. families : names in FAMILIES.
    skip : names of layers that stay dense; None for the network's default. fixed : choices that
        stay, by the layer's name. weights : factors of the layers' squared errors.
    exact : whether to close the gap that the greedy allocation leaves. slower : whether layers may
        be slower than dense, where times were measured.
    """

    measure: str
    amount: float = 1.0
    families: tuple[str, ...] = tuple(FAMILIES)
    skip: Collection[str] | None = None
    fixed: Mapping[str, Choice] | None = None
    weights: Weights = None
    exact: bool = True
    slower: bool = False

    @classmethod
    def of(
        cls,
        amounts: Mapping[str, float | None],
        families: Collection[FamilyLike] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
        slower: bool = False,
    ) -> BudgetRequest:
        """Returns a checked request; amounts : by the measure, all but one None.

        families : names or classes of choices, None for all. Raises BudgetError.
        """
        given = {measure: amount for measure, amount in amounts.items() if amount is not None}
        if len(given) != 1:
            raise BudgetError("give exactly one of macs=, params=, error= and ms=.")
        ((measure, amount),) = given.items()
        if measure != "ms":
            check_fraction(f"the {measure} budget", amount)
        elif not isinstance(amount, int | float) or not 0 < amount < math.inf:
            raise BudgetError(f"the ms budget is {amount}; expected milliseconds, more than 0.")
        allowed = family_names(families, BudgetError)
        return cls(measure, amount, allowed, skip, fixed, weights, exact, slower)


def check_fraction(name: str, fraction: float) -> None:
    """Raises BudgetError, with the name of the value, unless `fraction` is in (0, 1]."""
    if not isinstance(fraction, int | float | np.number) or not 0 < fraction <= 1:
        raise BudgetError(f"{name} is {fraction}; expected a fraction of the dense one in (0, 1].")
