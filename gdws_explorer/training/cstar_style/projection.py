"""A network's kernels brought into one budget: ranks chosen over all layers at once.

The global Tucker-2 projection of CSTAR (Phan et al., AAAI 2023, arXiv 2212.01957) as we rebuild
it: the singular values of all layers and modes lie in one pool, and ranks are released where that
loses the least per parameter (or MAC) freed, until the whole network's budget holds. The paper's
own rule is not known in detail, so the alternatives are options of `Rule`. GDWS ranks are chosen
by the same walk (ours): a family is what it says of its ranks' values and costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdws_explorer.errors import BudgetError
from gdws_explorer.factorize import gdws, tucker
from gdws_explorer.network.budget.allocation import Allocator, ChoiceSet, FixedChoice, ParetoTable
from gdws_explorer.network.budget.solver import WORDS
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, Tucker2
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule
from gdws_explorer.utils.threads import one_thread

Floats = NDArray[np.float64]


class RankProjection(NamedTuple):
    """Kernels of the ranks that a budget allows.

    choices : of every layer that takes part. kernels : the nearest ones of these ranks that the
    family's spectrum knows, as `(M, C, Kh, Kw)` in the given types. cost : the whole network's.
    """

    choices: dict[str, Choice]
    kernels: dict[str, Tensor]
    cost: int


def project(
    kernels: Mapping[str, Tensor], room: RankBudget, rule: RankRule | None = None
) -> RankProjection:
    """Bring the kernels `(M, C, Kh, Kw)` of a network's layers, by name, into its budget.

    A layer that would cost no less than the dense one stays dense, its kernel as it is. Raises
    BudgetError where the budget lies below what the network needs at the least ranks.
    """
    rule = rule or RankRule()
    with one_thread():
        decompose = FAMILIES[room.family].decompose
        spectra = {name: decompose(kernels[name].detach()) for name in room.layers}
        steps = {name: _RankSteps(layer, spectra[name], room, rule)
                 for name, layer in room.layers.items()}  # fmt: skip
        _check(room, room.rest + sum(each.least for each in steps.values()))
        choices = _released(steps, room, rule) if rule.pooled else _best(spectra, room, rule)
        made = {n: _kernel(spectra[n], choice, kernels[n], rule) for n, choice in choices.items()}
    return RankProjection(choices, made, room.cost(choices))


# -- the pool ------------------------------------------------------------------------------


class _RankSteps:
    """One layer's ranks on their way down.

    ranks : the present ones. cost : the layer's at these ranks, or dense where that is no dearer.
    """

    def __init__(self, layer: Layer, spectrum: Any, room: RankBudget, rule: RankRule) -> None:
        one = FAMILIES[room.family]
        self._price: Callable[..., int] = lambda *r: int(getattr(one.cost(layer, *r), room.measure))
        self._choice = one.choice
        self._values = _values(spectrum, rule)
        self._by_cost = rule.by_cost
        self.full = room.full(layer.name)
        self.floor = tuple(min(rule.floor, most) for most in self.full)
        self.ranks = self.full
        self.dense = int(getattr(layer, room.measure))
        self.least = min(self.dense, self._price(*self.floor))

    @property
    def cost(self) -> int:
        return min(self.dense, self._price(*self.ranks))

    @property
    def choice(self) -> Choice:
        dearer = self._price(*self.ranks) >= self.dense
        return Dense() if dearer else self._choice(*self.ranks)

    def moved(self, axis: int, by: int) -> tuple[int, ...]:
        """The ranks with one of them a step lower or higher."""
        return (*self.ranks[:axis], self.ranks[axis] + by, *self.ranks[axis + 1 :])

    def losses(self) -> list[float]:
        """What the next step down loses, per unit of cost; infinity at the floor."""
        price = self._price(*self.ranks)
        return [
            np.inf if rank <= low else self._worth(axis, rank, price - self._price(*new))
            for axis, (rank, low) in enumerate(zip(self.ranks, self.floor, strict=True))
            for new in [self.moved(axis, -1)]
        ]

    def gain(self, axis: int, spare: int) -> float:
        """What the next step up is worth, per unit of cost; -1 where it cannot be taken."""
        if self.ranks[axis] >= self.full[axis] or self.cost >= self.dense:
            return -1.0
        more = min(self.dense, self._price(*self.moved(axis, 1))) - self.cost
        return self._worth(axis, self.ranks[axis] + 1, more) if more <= spare else -1.0

    def _worth(self, axis: int, rank: int, cost: int) -> float:
        return float(self._values[axis][rank - 1]) / (cost if self._by_cost else 1)


def _released(
    steps: Mapping[str, _RankSteps], room: RankBudget, rule: RankRule
) -> dict[str, Choice]:
    """Release what loses least until the budget holds, then take back what still fits."""
    layers = list(steps.values())
    axes = len(layers[0].full)
    losses = np.array([each.losses() for each in layers])
    total = room.rest + sum(each.cost for each in layers)
    while total > room.most:
        i, axis = divmod(int(losses.argmin()), axes)
        layer, before = layers[i], layers[i].cost
        layer.ranks = layer.moved(axis, -1)
        losses[i] = layer.losses()
        total += layer.cost - before
    while True:
        gains = [(layer.gain(axis, room.most - total), i, axis)
                 for i, layer in enumerate(layers) for axis in range(axes)]  # fmt: skip
        best, i, axis = max(gains)
        if best < 0:
            return {name: each.choice for name, each in steps.items()}
        before = layers[i].cost
        layers[i].ranks = layers[i].moved(axis, 1)
        total += layers[i].cost - before


def _values(spectrum: Any, rule: RankRule) -> tuple[Floats, ...]:
    """What every rank is worth, largest first: one array for each number of a choice."""
    if isinstance(spectrum, gdws.GDWSSpectrum):
        squares: tuple[Floats, ...] = (np.sort(spectrum.energy, axis=None)[::-1],)
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


def _best(spectra: Mapping[str, Any], room: RankBudget, rule: RankRule) -> dict[str, Choice]:
    """The choices of least total squared error in the budget, as `Network.budget` finds them."""
    one, tables = FAMILIES[room.family], {}
    for name, layer in room.layers.items():
        taken, errors = one.table(spectra[name])
        low = np.minimum(rule.floor, one.most(spectra[name]))
        kept = (taken >= low).all(axis=1)
        taken, errors = taken[kept], errors[kept]
        price = np.asarray(getattr(one.cost(layer, *taken.T), room.measure))
        dense = np.array([getattr(layer, room.measure)])
        table = ParetoTable.of([FixedChoice(Dense(), dense, np.zeros(1)),
                          ChoiceSet(one.kind, price, errors, taken)])  # fmt: skip
        scale = one.total_energy(spectra[name]) if rule.values == "relative" else 1.0
        tables[name] = table.weighted(1 / (scale or 1.0))
    return Allocator(tables).under_cost(room.most - room.rest).choices


# -- kernels and complaints ----------------------------------------------------------------


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


def _check(room: RankBudget, least: int) -> None:
    if room.most < least:
        share = f"{room.measure}={math.ceil(1e4 * least / room.total) / 1e4:.4f}"
        raise BudgetError(
            f"{room.most:,} {WORDS[room.measure]} cannot be reached: at the least ranks the "
            f"network has {least:,}, {room.rest:,} of them in what is not approximated; ask for "
            f"{share} or more."
        )
