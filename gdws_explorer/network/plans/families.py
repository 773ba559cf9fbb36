"""The families of approximations, each described by one object in FAMILIES.

A family decomposes a module into a spectrum once, lists its choices with their errors and costs,
and builds the layer for a choice. A new family is a new entry of FAMILIES.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, ExplorerError, PlanError
from gdws_explorer.factorize import gdws, svd, tucker
from gdws_explorer.factorize.conv import bias_of, conv2d, geometry_of, weight_of
from gdws_explorer.network.plans.choices import (
    FAMILY_NAMES,
    GDWS,
    SVD,
    Choice,
    SpatialSVD,
    Tucker2,
)
from gdws_explorer.network.plans.cost import Cost, gdws_cost, spatial_cost, svd_cost, tucker2_cost
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.moments import Moments
from gdws_explorer.typing import FloatArray, IntArray
from gdws_explorer.utils.checks import checked_rank

FamilyLike = str | type[GDWS] | type[Tucker2] | type[SVD] | type[SpatialSVD]
"""A family by its name, such as "svd", or by the class of its choices, such as `gx.SVD`."""

ALIASES = {"spatial_svd": "spatial"}


class Family(ABC):
    """One way to approximate a layer.

    name : short name, as files have it. label : name for people. kind : class of its choices.
    ranks : names of their ranks.
    """

    name: str
    label: str
    kind: type[GDWS] | type[Tucker2] | type[SVD] | type[SpatialSVD]
    ranks: tuple[str, ...]

    @abstractmethod
    def why_not(self, module: nn.Conv2d | nn.Linear) -> str | None:
        """Returns why it cannot approximate this module, None if it can."""

    def why_no_data(self, module: nn.Conv2d | nn.Linear) -> str | None:
        """Returns why it cannot measure errors in this module's output, None if it can."""
        return f"{self.label} has no form from data yet"

    @abstractmethod
    def decompose(self, module: Any, moments: Moments | None = None) -> Any:
        """Returns the module's spectrum; with moments of its inputs, errors are of its output."""

    def parts(self, spectrum: Any) -> dict[str, Tensor]:
        """Returns the tensors that `of_parts` restores the spectrum from.

        Empty where decomposing again is as quick as reading them.
        """
        return {}

    def of_parts(self, module: Any, parts: dict[str, Tensor]) -> Any:
        """Returns the module's spectrum, restored from non-empty `parts`."""
        raise NotImplementedError

    @abstractmethod
    def most(self, spectrum: Any) -> tuple[int, ...]:
        """Returns the largest ranks, at which the approximation is exact."""

    @abstractmethod
    def cost(self, layer: Layer, *ranks: Any) -> Cost:
        """Returns the cost of ranks, or of arrays of ranks."""

    @abstractmethod
    def table(self, spectrum: Any) -> tuple[IntArray, FloatArray]:
        """Returns all ranks `(n, k)` and their squared errors `(n,)`."""

    @abstractmethod
    def total_energy(self, spectrum: Any) -> float:
        """Returns the squared norm of the weight or output: the error of keeping nothing."""

    @abstractmethod
    def error(self, spectrum: Any, choice: Any) -> float:
        """Returns the squared error of one choice. Raises BudgetError for ranks out of range."""

    @abstractmethod
    def build(self, spectrum: Any, choice: Any) -> nn.Module:
        """Returns the factorised layer of a choice."""

    @abstractmethod
    def kernel(self, spectrum: Any, choice: Any) -> Tensor:
        """Returns the dense weight whose output equals that of `build`, up to rounding."""

    @abstractmethod
    def empty(self, module: Any, choice: Any) -> nn.Module:
        """Returns the factorised layer with weights of zero, for loading a state_dict."""

    def choice(self, *ranks: int) -> Choice:
        """Returns the choice of these ranks."""
        kind: Any = self.kind  # every class takes a different number of ranks
        made: Choice = kind(*ranks)
        return made


class _GDWS(Family):
    """Generalized depthwise-separable convolution, with errors of weights or of outputs."""

    name, label, kind, ranks = "gdws", "GDWS", GDWS, ("G",)

    def why_not(self, module: nn.Conv2d | nn.Linear) -> str | None:
        if isinstance(module, nn.Linear):
            return "a linear layer has no space to separate"
        if module.groups != 1:
            return (
                f"groups={module.groups}: the groups would need equal channel distributions, "
                "which GDWS does not have"
            )
        if module.weight[0, 0].numel() == 1:
            return "a 1×1 kernel has no space to separate (the paper skips it too)"
        return None

    def why_no_data(self, module: nn.Conv2d | nn.Linear) -> str | None:
        return None

    def decompose(self, module: nn.Conv2d, moments: Moments | None = None) -> gdws.GDWSSpectrum:
        return gdws.spectrum(module, None if moments is None else moments.patches)

    def most(self, spectrum: gdws.GDWSSpectrum) -> tuple[int, ...]:
        return (spectrum.full,)

    def cost(self, layer: Layer, *ranks: Any) -> Cost:
        return gdws_cost(layer, *ranks)

    def table(self, spectrum: gdws.GDWSSpectrum) -> tuple[IntArray, FloatArray]:
        return np.arange(1, spectrum.full + 1)[:, None], spectrum.uniform.error[1:]

    def total_energy(self, spectrum: gdws.GDWSSpectrum) -> float:
        return float(spectrum.uniform.error[0])

    def error(self, spectrum: gdws.GDWSSpectrum, choice: GDWS) -> float:
        if choice.counts is not None:
            return spectrum.error(counts_of(spectrum, choice))
        if not 1 <= choice.G <= spectrum.full:
            checked_rank("G", choice.G, spectrum.full)
        return float(spectrum.uniform.error[choice.G])

    def build(self, spectrum: gdws.GDWSSpectrum, choice: GDWS) -> nn.Module:
        return spectrum.conv(counts_of(spectrum, choice))

    def kernel(self, spectrum: gdws.GDWSSpectrum, choice: GDWS) -> Tensor:
        return spectrum.kernel(counts_of(spectrum, choice))

    def empty(self, module: nn.Conv2d, choice: GDWS) -> nn.Module:
        out, channels, *kernel = module.weight.shape
        counts = torch.zeros(channels, dtype=torch.int64)
        counts[0] = choice.G  # the real distribution comes with the state_dict
        return gdws.GDWSConv2d(
            counts,
            conv2d(_zeros(module, choice.G, 1, *kernel), groups=choice.G, **geometry_of(module)),
            conv2d(_zeros(module, out, choice.G, 1, 1), bias_of(module)),
        )


class _Tucker2(Family):
    """Tucker-2, with errors of weights or of outputs."""

    name, label, kind, ranks = "tucker2", "Tucker-2", Tucker2, ("r_out", "r_in")

    def why_not(self, module: nn.Conv2d | nn.Linear) -> str | None:
        if isinstance(module, nn.Linear):
            return "a linear layer is one matrix; its SVD is what Tucker-2 would be"
        if module.groups != 1:
            return f"groups={module.groups}: Tucker-2 mixes all channels"
        if module.weight[0, 0].numel() == 1:
            return "a 1×1 kernel is one matrix; Tucker-2 would only add a layer to it"
        return None

    def why_no_data(self, module: nn.Conv2d | nn.Linear) -> str | None:
        return None

    def decompose(
        self, module: nn.Conv2d, moments: Moments | None = None
    ) -> tucker.Tucker2Spectrum:
        return tucker.spectrum(module, None if moments is None else moments.kronecker)

    def parts(self, spectrum: tucker.Tucker2Spectrum) -> dict[str, Tensor]:
        return {
            "u_out": spectrum.u_out,
            "u_in": spectrum.u_in,
            "errors": torch.from_numpy(spectrum.errors),
            "energy": torch.tensor(spectrum.energy, dtype=torch.float64),
        }

    def of_parts(self, module: nn.Conv2d, parts: dict[str, Tensor]) -> tucker.Tucker2Spectrum:
        kernel, like = weight_of(module)
        u_out, u_in, errors = parts["u_out"], parts["u_in"], parts["errors"].numpy()
        return tucker.Tucker2Spectrum(kernel, u_out, u_in, errors, float(parts["energy"]), like)

    def most(self, spectrum: tucker.Tucker2Spectrum) -> tuple[int, ...]:
        return spectrum.full

    def cost(self, layer: Layer, *ranks: Any) -> Cost:
        return tucker2_cost(layer, *ranks)

    def table(self, spectrum: tucker.Tucker2Spectrum) -> tuple[IntArray, FloatArray]:
        most_out, most_in = spectrum.full
        r_out, r_in = (axis.ravel() for axis in np.mgrid[1 : most_out + 1, 1 : most_in + 1])
        errors = spectrum.errors[:most_out, :most_in].ravel()
        return np.stack([r_out, r_in], axis=1), errors

    def total_energy(self, spectrum: tucker.Tucker2Spectrum) -> float:
        return spectrum.energy

    def error(self, spectrum: tucker.Tucker2Spectrum, choice: Tucker2) -> float:
        return spectrum.error(choice.r_out, choice.r_in)

    def build(self, spectrum: tucker.Tucker2Spectrum, choice: Tucker2) -> nn.Module:
        return spectrum.conv(choice.r_out, choice.r_in)

    def kernel(self, spectrum: tucker.Tucker2Spectrum, choice: Tucker2) -> Tensor:
        return spectrum.kernel(choice.r_out, choice.r_in)

    def empty(self, module: nn.Conv2d, choice: Tucker2) -> nn.Module:
        out, channels, *kernel = module.weight.shape
        return tucker.Tucker2Conv2d(
            conv2d(_zeros(module, choice.r_in, channels, 1, 1)),
            conv2d(_zeros(module, choice.r_out, choice.r_in, *kernel), **geometry_of(module)),
            conv2d(_zeros(module, out, choice.r_out, 1, 1), bias_of(module)),
        )


class _Matrix(Family):
    """Base of the two SVDs, whose spectrum is a MatrixSpectrum with one rank."""

    ranks = ("rank",)

    def parts(self, spectrum: svd.MatrixSpectrum) -> dict[str, Tensor]:
        return {"energy": torch.from_numpy(spectrum.energy)}

    def most(self, spectrum: svd.MatrixSpectrum) -> tuple[int, ...]:
        return (spectrum.full,)

    def table(self, spectrum: svd.MatrixSpectrum) -> tuple[IntArray, FloatArray]:
        return np.arange(1, spectrum.full + 1)[:, None], spectrum.errors

    def total_energy(self, spectrum: svd.MatrixSpectrum) -> float:
        return float(spectrum.energy.sum())

    def error(self, spectrum: svd.MatrixSpectrum, choice: SVD | SpatialSVD) -> float:
        return spectrum.error(choice.rank)

    def build(self, spectrum: svd.MatrixSpectrum, choice: SVD | SpatialSVD) -> nn.Module:
        return spectrum.conv(choice.rank)

    def kernel(self, spectrum: svd.MatrixSpectrum, choice: SVD | SpatialSVD) -> Tensor:
        return spectrum.kernel(choice.rank)


class _SVD(_Matrix):
    """Channel SVD; errors of outputs only for convolutions without groups."""

    name, label, kind = "svd", "channel SVD", SVD

    def why_not(self, module: nn.Conv2d | nn.Linear) -> str | None:
        groups = 1 if isinstance(module, nn.Linear) else module.groups
        out, *rest = module.weight.shape
        if min(out // groups, math.prod(rest)) <= 1:
            return "each of its matrices has rank 1 already"
        return None

    def why_no_data(self, module: nn.Conv2d | nn.Linear) -> str | None:
        if isinstance(module, nn.Linear) or module.groups != 1:
            return "channel SVD has no form from data for linear layers and groups yet"
        return None

    def decompose(
        self, module: nn.Conv2d | nn.Linear, moments: Moments | None = None
    ) -> svd.SVDSpectrum:
        if moments is None:
            return svd.spectrum(module)
        assert isinstance(module, nn.Conv2d)
        return svd.output_spectrum(module, moments.kronecker)

    def of_parts(self, module: nn.Conv2d | nn.Linear, parts: dict[str, Tensor]) -> svd.SVDSpectrum:
        return svd.spectrum(module, energy=parts["energy"].numpy())

    def cost(self, layer: Layer, *ranks: Any) -> Cost:
        return svd_cost(layer, *ranks)

    def empty(self, module: nn.Conv2d | nn.Linear, choice: SVD) -> nn.Module:
        if isinstance(module, nn.Linear):
            out, channels = module.weight.shape
            return svd.SVDLinear(
                svd.linear(_zeros(module, choice.rank, channels), None),
                svd.linear(_zeros(module, out, choice.rank), module.bias),
            )
        out, groups = len(module.weight), module.groups
        first = _zeros(module, groups * choice.rank, *module.weight.shape[1:])
        last = _zeros(module, out, choice.rank, 1, 1)
        return svd.SVDConv2d(
            conv2d(first, groups=groups, **geometry_of(module)),
            conv2d(last, bias_of(module), groups=groups),
        )


class _SpatialSVD(_Matrix):
    """Spatial SVD, with errors of weights only."""

    name, label, kind = "spatial", "spatial SVD", SpatialSVD

    def why_not(self, module: nn.Conv2d | nn.Linear) -> str | None:
        if isinstance(module, nn.Linear):
            return "a linear layer has no space to divide"
        if module.groups != 1:
            return f"groups={module.groups}: spatial SVD mixes all channels"
        if module.weight.shape[3] == 1:
            return "its kernel is one column wide; its channel SVD is the same"
        return None

    def decompose(
        self, module: nn.Conv2d, moments: Moments | None = None
    ) -> svd.SpatialSVDSpectrum:
        return svd.spatial_spectrum(module)

    def of_parts(self, module: nn.Conv2d, parts: dict[str, Tensor]) -> svd.SpatialSVDSpectrum:
        return svd.spatial_spectrum(module, energy=parts["energy"].numpy())

    def cost(self, layer: Layer, *ranks: Any) -> Cost:
        return spatial_cost(layer, *ranks)

    def empty(self, module: nn.Conv2d, choice: SpatialSVD) -> nn.Module:
        out, channels, height, width = module.weight.shape
        vertical, horizontal = svd.split_geometry(geometry_of(module))
        return svd.SpatialSVDConv2d(
            conv2d(_zeros(module, choice.rank, channels, height, 1), **vertical),
            conv2d(_zeros(module, out, choice.rank, 1, width), bias_of(module), **horizontal),
        )


FAMILIES: dict[str, Family] = {f.name: f for f in (_GDWS(), _Tucker2(), _SVD(), _SpatialSVD())}
# Classes of the factorised layers.
FACTORISED = (gdws.GDWSConv2d, tucker.Tucker2Conv2d, svd.FactorizedPair)


def family_name(family: object, error: type[ExplorerError] = PlanError) -> str:
    """Returns the name in FAMILIES of a family's name or class of choices.

    "spatial_svd" is accepted for "spatial". Raises `error`.
    """
    name = FAMILY_NAMES.get(family) if isinstance(family, type) else family
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    if name not in FAMILIES:
        raise error(f"unknown family {family!r}; expected one of {', '.join(FAMILIES)}.")
    return str(name)


def family_names(
    families: Collection[FamilyLike] | None, error: type[ExplorerError] = PlanError
) -> tuple[str, ...]:
    """Returns the names in FAMILIES of a collection of families; None for all. Raises `error`."""
    if families is None:
        return tuple(FAMILIES)
    if isinstance(families, str) or not isinstance(families, Collection):
        raise error(
            f"families is {families!r}; expected a collection of families, such as"
            f' ["gdws", gx.SVD], out of {", ".join(FAMILIES)}.'
        )
    return tuple(dict.fromkeys(family_name(family, error) for family in families))


def _zeros(module: nn.Conv2d | nn.Linear, *shape: int) -> Tensor:
    return module.weight.detach().new_zeros(math.prod(shape)).reshape(shape)


def counts_of(spectrum: gdws.GDWSSpectrum, choice: GDWS) -> Tensor:
    """Returns the number of depthwise kernels of every input channel, `(C,)`."""
    if choice.counts is None:
        return spectrum.mego(choice.G)
    counts = torch.tensor(choice.counts, dtype=torch.int64)
    if int(counts.sum()) != choice.G:
        raise BudgetError(f"counts sum to {int(counts.sum())}; expected G = {choice.G}.")
    return counts
