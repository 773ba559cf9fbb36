"""Projection of a network's kernels into one budget, with ranks chosen over all layers at once.

This is our reconstruction of the global Tucker-2 projection of CSTAR (Phan et al., AAAI 2023, arXiv
2212.01957). The singular values of all layers and modes are in one pool. Ranks are released where
the loss per saved parameter (or MAC) is least, until the whole network is within its budget. The
paper's own rule is not known in detail, so the alternatives are settings of `RankRule`. GDWS ranks
are chosen in the same way (ours), from the values and costs of their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize import gdws, tucker
from gdws_explorer.network.budget.allocation import Allocator, ChoiceSet, FixedChoice, ParetoTable
from gdws_explorer.network.budget.solver import WORDS
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, Tucker2
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule
from gdws_explorer.typing import FloatArray
from gdws_explorer.utils.threads import one_thread


class RankProjection(NamedTuple):
    """Kernels with the ranks that a budget allows.

    choices : of every layer that shares the budget. kernels : the nearest kernels of these ranks in
    the family's spectrum, `(M, C, Kh, Kw)` in the given types. cost : of the whole network.
    """

    choices: dict[str, Choice]
    kernels: dict[str, Tensor]
    cost: int


def project(
    kernels: Mapping[str, Tensor], budget: RankBudget, rule: RankRule | None = None
) -> RankProjection:
    """Projects the kernels `(M, C, Kh, Kw)` of a network's layers, by name, into its budget.

    A layer that would cost at least as much as the dense layer stays dense, with its kernel
    unchanged. Raises BudgetError if the budget is lower than the cost at the least ranks.
    """
    rule = rule or RankRule()
    with one_thread():
        decompose = FAMILIES[budget.family].decompose
        spectra = {name: decompose(kernels[name].detach()) for name in budget.layers}
        steps = {name: _RankSteps(layer, spectra[name], budget, rule)
                 for name, layer in budget.layers.items()}  # fmt: skip
        _check_reachable(budget, budget.fixed_cost + sum(each.least for each in steps.values()))
        if rule.pooled:
            choices = _release_ranks(steps, budget)
        else:
            choices = _least_error(spectra, budget, rule)
        made = {n: _kernel(spectra[n], choice, kernels[n], rule) for n, choice in choices.items()}
    return RankProjection(choices, made, budget.cost(choices))


# -- the pool ------------------------------------------------------------------------------


class _RankSteps:
    """One layer's ranks while they are released step by step.

    ranks : the present ranks. cost : of the layer at these ranks, or dense if that costs no more.
    """

    def __init__(self, layer: Layer, spectrum: Any, budget: RankBudget, rule: RankRule) -> None:
        family = FAMILIES[budget.family]
        self._price: Callable[..., int] = lambda *ranks: int(
            getattr(family.cost(layer, *ranks), budget.measure)
        )
        self._choice = family.choice
        self._values = _rank_values(spectrum, rule)
        self._by_cost = rule.by_cost
        self.full = budget.full_ranks(layer.name)
        self.floor = tuple(min(rule.floor, most) for most in self.full)
        self.ranks = self.full
        self.dense = int(getattr(layer, budget.measure))
        self.least = min(self.dense, self._price(*self.floor))

    @property
    def cost(self) -> int:
        return min(self.dense, self._price(*self.ranks))

    @property
    def choice(self) -> Choice:
        too_expensive = self._price(*self.ranks) >= self.dense
        return Dense() if too_expensive else self._choice(*self.ranks)

    def moved(self, axis: int, by: int) -> tuple[int, ...]:
        """Returns the ranks with one of them changed by `by`."""
        return (*self.ranks[:axis], self.ranks[axis] + by, *self.ranks[axis + 1 :])

    def losses(self) -> list[float]:
        """Returns the value lost by the next step down, per unit of cost; infinity at the floor."""
        price = self._price(*self.ranks)
        return [
            np.inf if rank <= low else self._value_of(axis, rank, price - self._price(*new))
            for axis, (rank, low) in enumerate(zip(self.ranks, self.floor, strict=True))
            for new in [self.moved(axis, -1)]
        ]

    def gain(self, axis: int, spare: int) -> float:
        """Returns the value of the next step up, per unit of cost; -1 if it cannot be taken."""
        if self.ranks[axis] >= self.full[axis] or self.cost >= self.dense:
            return -1.0
        more = min(self.dense, self._price(*self.moved(axis, 1))) - self.cost
        return self._value_of(axis, self.ranks[axis] + 1, more) if more <= spare else -1.0

    def _value_of(self, axis: int, rank: int, cost: int) -> float:
        return float(self._values[axis][rank - 1]) / (cost if self._by_cost else 1)


def _release_ranks(steps: Mapping[str, _RankSteps], budget: RankBudget) -> dict[str, Choice]:
    """Releases the ranks that lose least until the budget holds, then adds ranks that still fit."""
    layers = list(steps.values())
    axes = len(layers[0].full)
    losses = np.array([each.losses() for each in layers])
    total = budget.fixed_cost + sum(each.cost for each in layers)
    while total > budget.limit:
        i, axis = divmod(int(losses.argmin()), axes)
        layer, before = layers[i], layers[i].cost
        layer.ranks = layer.moved(axis, -1)
        losses[i] = layer.losses()
        total += layer.cost - before
    while True:
        gains = [(layer.gain(axis, budget.limit - total), i, axis)
                 for i, layer in enumerate(layers) for axis in range(axes)]  # fmt: skip
        best, i, axis = max(gains)
        if best < 0:
            return {name: each.choice for name, each in steps.items()}
        before = layers[i].cost
        layers[i].ranks = layers[i].moved(axis, 1)
        total += layers[i].cost - before


def _rank_values(spectrum: Any, rule: RankRule) -> tuple[FloatArray, ...]:
    """Returns the value of every rank, largest first: one array for each number of a choice."""
    if isinstance(spectrum, gdws.GDWSSpectrum):
        squares: tuple[FloatArray, ...] = (np.sort(spectrum.energy, axis=None)[::-1],)
    else:
        whole = spectrum.energy
        squares = tuple(
            -np.diff(errors, prepend=whole)
            for errors in (spectrum.errors[:, -1], spectrum.errors[-1])
        )
    if rule.values == "relative":
        return tuple(each / (float(each.sum()) or 1.0) for each in squares)
    return squares if rule.values == "squared" else tuple(np.sqrt(each) for each in squares)


# -- the least error -----------------------------------------------------------------------


def _least_error(
    spectra: Mapping[str, Any], budget: RankBudget, rule: RankRule
) -> dict[str, Choice]:
    """Returns the choices of least total squared error in the budget, as `Network.budget` does."""
    family, tables = FAMILIES[budget.family], {}
    for name, layer in budget.layers.items():
        ranks, errors = family.table(spectra[name])
        low = np.minimum(rule.floor, family.most(spectra[name]))
        allowed = (ranks >= low).all(axis=1)
        ranks, errors = ranks[allowed], errors[allowed]
        price = np.asarray(getattr(family.cost(layer, *ranks.T), budget.measure))
        dense = np.array([getattr(layer, budget.measure)])
        table = ParetoTable.of([FixedChoice(Dense(), dense, np.zeros(1)),
                          ChoiceSet(family.kind, price, errors, ranks)])  # fmt: skip
        scale = family.total_energy(spectra[name]) if rule.values == "relative" else 1.0
        tables[name] = table.weighted(1 / (scale or 1.0))
    return Allocator(tables).under_cost(budget.limit - budget.fixed_cost).choices


# -- kernels and errors --------------------------------------------------------------------


def _kernel(spectrum: Any, choice: Choice, kernel: Tensor, rule: RankRule) -> Tensor:
    if isinstance(choice, Dense):
        return kernel.detach().clone()
    if isinstance(choice, GDWS):
        made: Tensor = spectrum.kernel(spectrum.mego(choice.G))
        return made
    assert isinstance(choice, Tucker2)
    if rule.sweeps:
        return tucker.hooi_kernel(spectrum, choice.r_out, choice.r_in, rule.sweeps)
    made = spectrum.kernel(choice.r_out, choice.r_in)
    return made


def _check_reachable(budget: RankBudget, least: int) -> None:
    if budget.limit < least:
        share = f"{budget.measure}={math.ceil(1e4 * least / budget.total) / 1e4:.4f}"
        raise BudgetError(
            f"{budget.limit:,} {WORDS[budget.measure]} cannot be reached: at the least ranks the "
            f"network has {least:,}, {budget.fixed_cost:,} of them in parts that are not "
            f"approximated; ask for {share} or more."
        )
