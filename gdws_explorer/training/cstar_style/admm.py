"""Alternating directions: train towards kernels of low rank, which move along.

`min_W loss(W)` with every kernel of ranks that a budget allows, as CSTAR (Phan et al., AAAI 2023)
poses it, by ADMM (Boyd et al., 2011): training adds `(ρ/2)‖W − Z + U‖²` to its loss, and after
every epoch `Z ← project(W + U)` and `U ← U + W − Z`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdws_explorer.network.plans.choices import Choice, Dense, ranks_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.training.callbacks import EpochInfo
from gdws_explorer.training.cstar_style.projection import project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ROWS = ("ranks", "residual", "cost")  # one row per projection


@dataclass(frozen=True, eq=False)
class AdmmHistory:
    """What the projections found: the first before the first epoch, then one after every epoch.

    names : the layers (L). full : the ranks at which each is exact, `(L, k)`; k is 2 for Tucker-2
    (r_out, r_in) and 1 for GDWS (G). ranks : `(E, L, k)`, zeros where the layer is dense.
    residual : `‖W − Z‖ / ‖W‖`, `(E, L)`. cost : the whole network's parameters or MACs at these
    ranks, `(E,)`. rho : the penalty's weight in the epoch before, `(E,)`.
    """

    names: tuple[str, ...]
    full: Ints
    ranks: Ints
    residual: Floats
    cost: Ints
    rho: Floats

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        arrays = ("full", *ROWS, "rho")
        return {"names": list(self.names), **{n: getattr(self, n).tolist() for n in arrays}}


class Admm:
    """The `penalty`, `after_epoch` and `extra` of a training.

    model : the network as it is before the first epoch. rhos : the penalty's weight in every epoch.
    """

    def __init__(
        self, model: nn.Module, room: RankBudget, rule: RankRule, rhos: Sequence[float]
    ) -> None:
        self._room, self._rule, self._rhos = room, rule, tuple(rhos)
        kernels = self._kernels(model)
        self._dual = {name: torch.zeros_like(kernel) for name, kernel in kernels.items()}
        self._rows: list[tuple[Ints, Floats, int]] = []
        self._target = self._project(kernels)

    @property
    def choices(self) -> dict[str, Choice]:
        """What the layers are in the latest projection."""
        make = FAMILIES[self._room.family].choice
        found = zip(self._room.layers, self._rows[-1][0].tolist(), strict=True)
        return {name: make(*ranks) if any(ranks) else Dense() for name, ranks in found}

    @property
    def rounds(self) -> AdmmHistory:
        """What the projections found so far."""
        ranks, residual, cost = (np.array(column) for column in zip(*self._rows, strict=True))
        rho = np.array([0.0, *self._rhos])[: len(self._rows)]
        full = np.array([self._room.full(name) for name in self._room.layers])
        return AdmmHistory(tuple(self._room.layers), full, ranks, residual, cost, rho)

    def penalty(self, model: nn.Module) -> Tensor:
        """`(ρ/2) Σ ‖W − Z + U‖²` over the layers that are not dense now."""
        held = {name: choice != Dense() for name, choice in self.choices.items()}
        apart = [
            (_kernel(model, name) - target).square().sum()
            for name, target in self._target.items()
            if held[name]
        ]
        return self._rho / 2 * torch.stack(apart).sum() if apart else torch.zeros(())

    def after_epoch(self, epoch: EpochInfo) -> None:
        """`Z ← project(W + U)`, `U ← U + W − Z`; where ρ grows, U shrinks: the multiplier is ρU."""
        kernels, before = self._kernels(epoch.model), self._rho
        near = self._project(kernels)
        shrunk = before / self._rho
        for name, kernel in kernels.items():
            self._dual[name] = shrunk * (self._dual[name] + kernel - near[name])
            self._target[name] = near[name] - self._dual[name]

    def capture(self) -> dict[str, Tensor]:
        """Everything beside the network that is trained."""
        rounds = self.rounds
        rows = {name: torch.from_numpy(getattr(rounds, name)) for name in ROWS}
        parts = {"dual": self._dual, "target": self._target}
        return rows | {f"{part}.{n}": t for part, held in parts.items() for n, t in held.items()}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Be as `capture` found it."""
        ranks, residual, cost = (held[name].cpu().numpy() for name in ROWS)
        self._rows = list(zip(ranks, residual, cost.tolist(), strict=True))
        for part, tensors in (("dual", self._dual), ("target", self._target)):
            for name, tensor in tensors.items():
                tensors[name] = held[f"{part}.{name}"].to(tensor)

    @property
    def _rho(self) -> float:
        """The penalty's weight in the coming epoch."""
        return self._rhos[min(len(self._rows), len(self._rhos)) - 1]

    def _kernels(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: _kernel(model, name).detach() for name in self._room.layers}

    def _project(self, kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Z, and a row that says how far W is from it."""
        moved = {name: kernel + self._dual[name] for name, kernel in kernels.items()}
        made = project(moved, self._room, self._rule)
        width = len(FAMILIES[self._room.family].ranks)
        chosen = [ranks_of(made.choices[name]) or (0,) * width for name in kernels]
        apart = [
            float((kernel - made.kernels[name]).norm()) / (float(kernel.norm()) or 1.0)
            for name, kernel in kernels.items()
        ]
        self._rows.append((np.array(chosen), np.array(apart), made.cost))
        return made.kernels


def _kernel(model: nn.Module, name: str) -> Tensor:
    weight = model.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight
