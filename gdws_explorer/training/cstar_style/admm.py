"""ADMM: training towards kernels of low rank, which follow the weights.

The problem is `min_W loss(W)` with kernels of ranks that a budget allows, as in CSTAR (Phan et
al., AAAI 2023). ADMM (Boyd et al., 2011) solves it: training adds `(ρ/2)‖W − Z + U‖²` to its loss,
and after every epoch `Z ← project(W + U)` and `U ← U + W − Z`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gdws_explorer.network.plans.choices import Choice, Dense, ranks_of
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.training.callbacks import EpochInfo
from gdws_explorer.training.cstar_style.projection import project
from gdws_explorer.training.cstar_style.rank_budget import RankBudget, RankRule
from gdws_explorer.typing import FloatArray

Ints = npt.NDArray[np.int64]  # int64 on every platform: stored in checkpoints
ROWS = ("ranks", "residual", "cost")  # one row per projection


@dataclass(frozen=True, eq=False)
class AdmmHistory:
    """Ranks and residuals of all projections: one before the first epoch, then one per epoch (E).

    names : the layers (L). full : the ranks at which each is exact, `(L, k)`; k is 2 for Tucker-2
    (r_out, r_in) and 1 for GDWS (G). ranks : `(E, L, k)`, zeros where the layer is dense.
    residual : `‖W − Z‖ / ‖W‖`, `(E, L)`. cost : the whole network's parameters or MACs at these
    ranks, `(E,)`. rho : the penalty's weight in the epoch before the projection, `(E,)`.
    """

    names: tuple[str, ...]
    full: Ints
    ranks: Ints
    residual: FloatArray
    cost: Ints
    rho: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary."""
        arrays = ("full", *ROWS, "rho")
        return {"names": list(self.names), **{n: getattr(self, n).tolist() for n in arrays}}


class Admm:
    """The state of ADMM: `penalty`, `after_epoch` and `extra` of `training.fit`.

    model : the network before the first epoch. rhos : the penalty's weight in every epoch.
    """

    def __init__(
        self, model: nn.Module, budget: RankBudget, rule: RankRule, rhos: Sequence[float]
    ) -> None:
        self._budget, self._rule, self._rhos = budget, rule, tuple(rhos)
        kernels = self._kernels(model)
        self._dual = {name: torch.zeros_like(kernel) for name, kernel in kernels.items()}
        self._rows: list[tuple[Ints, FloatArray, int]] = []
        self._target = self._project(kernels)

    @property
    def choices(self) -> dict[str, Choice]:
        """The choices of the layers in the latest projection."""
        make = FAMILIES[self._budget.family].choice
        found = zip(self._budget.layers, self._rows[-1][0].tolist(), strict=True)
        return {name: make(*ranks) if any(ranks) else Dense() for name, ranks in found}

    @property
    def rounds(self) -> AdmmHistory:
        """The history of all projections so far."""
        ranks, residual, cost = (np.array(column) for column in zip(*self._rows, strict=True))
        rho = np.array([0.0, *self._rhos])[: len(self._rows)]
        full = np.array([self._budget.full_ranks(name) for name in self._budget.layers])
        return AdmmHistory(tuple(self._budget.layers), full, ranks, residual, cost, rho)

    def penalty(self, model: nn.Module) -> Tensor:
        """Returns `(ρ/2) Σ ‖W − Z + U‖²` over the layers that are not dense at present."""
        low_rank = {name: choice != Dense() for name, choice in self.choices.items()}
        distances = [
            (_kernel(model, name) - target).square().sum()
            for name, target in self._target.items()
            if low_rank[name]
        ]
        return self._rho / 2 * torch.stack(distances).sum() if distances else torch.zeros(())

    def after_epoch(self, epoch: EpochInfo) -> None:
        """Updates Z and U: `Z ← project(W + U)`, `U ← U + W − Z`.

        U shrinks by the factor by which ρ grows, because the multiplier is ρU.
        """
        kernels, before = self._kernels(epoch.model), self._rho
        projected = self._project(kernels)
        shrink = before / self._rho
        for name, kernel in kernels.items():
            self._dual[name] = shrink * (self._dual[name] + kernel - projected[name])
            self._target[name] = projected[name] - self._dual[name]

    def capture(self) -> dict[str, Tensor]:
        """Returns the state as tensors, by name, without the network."""
        rounds = self.rounds
        rows = {name: torch.from_numpy(getattr(rounds, name)) for name in ROWS}
        parts = {"dual": self._dual, "target": self._target}
        return rows | {f"{part}.{n}": t for part, each in parts.items() for n, t in each.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Restores the state that `capture` returned."""
        ranks, residual, cost = (saved[name].cpu().numpy() for name in ROWS)
        self._rows = list(zip(ranks, residual, cost.tolist(), strict=True))
        for part, tensors in (("dual", self._dual), ("target", self._target)):
            for name, tensor in tensors.items():
                tensors[name] = saved[f"{part}.{name}"].to(tensor)

    @property
    def _rho(self) -> float:
        """The penalty's weight in the next epoch."""
        return self._rhos[min(len(self._rows), len(self._rhos)) - 1]

    def _kernels(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: _kernel(model, name).detach() for name in self._budget.layers}

    def _project(self, kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns Z, and adds a row with its ranks, residuals and cost to the history."""
        moved = {name: kernel + self._dual[name] for name, kernel in kernels.items()}
        found = project(moved, self._budget, self._rule)
        width = len(FAMILIES[self._budget.family].ranks)
        chosen = [ranks_of(found.choices[name]) or (0,) * width for name in kernels]
        residuals = [
            float((kernel - found.kernels[name]).norm()) / (float(kernel.norm()) or 1.0)
            for name, kernel in kernels.items()
        ]
        self._rows.append((np.array(chosen), np.array(residuals), found.cost))
        return found.kernels


def _kernel(model: nn.Module, name: str) -> Tensor:
    weight = model.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight
