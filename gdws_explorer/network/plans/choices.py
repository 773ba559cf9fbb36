"""The choices for one layer: dense, or a family of approximations with its ranks."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from gdws_explorer.errors import PlanError


@dataclass(frozen=True, slots=True)
class Dense:
    """The layer without any change."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class GDWS:
    """Generalized depthwise-separable convolution of `G` depthwise kernels in total.

    counts : number of kernels of every input channel, `(C,)`, with sum G; None for the G kernels
        of largest energy, as MEGO with unit weights chooses them (Dbouk & Shanbhag, algorithm 1).
    """

    G: int
    counts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "G", _whole("G", self.G))
        if self.counts is not None:
            counts = tuple(_whole("a count", count) for count in self.counts)
            object.__setattr__(self, "counts", counts)

    def __str__(self) -> str:
        return f"GDWS G={self.G}" + ("" if self.counts is None else " (weighted)")


@dataclass(frozen=True, slots=True)
class Tucker2:
    """Tucker-2: 1×1 to `r_in` channels, K×K to `r_out`, 1×1 to the original outputs."""

    r_out: int
    r_in: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_out", _whole("r_out", self.r_out))
        object.__setattr__(self, "r_in", _whole("r_in", self.r_in))

    def __str__(self) -> str:
        return f"Tucker-2 {self.r_out}×{self.r_in}"


def _whole(name: str, value: object) -> int:
    """Converts whole numbers of numpy and torch to int, which can be hashed and saved as JSON."""
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise PlanError(f"{name} is {value!r}; expected a whole number.") from None


@dataclass(frozen=True, slots=True)
class SVD:
    """Channel SVD: K×K to `rank` channels per group, then 1×1; for a linear layer, two of them."""

    rank: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", _whole("rank", self.rank))

    def __str__(self) -> str:
        return f"SVD {self.rank}"


@dataclass(frozen=True, slots=True)
class SpatialSVD:
    """Spatial SVD: Kh×1 to `rank` channels, then 1×Kw to the original outputs."""

    rank: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", _whole("rank", self.rank))

    def __str__(self) -> str:
        return f"spatial SVD {self.rank}"


Choice = Dense | GDWS | Tucker2 | SVD | SpatialSVD
FAMILY_NAMES: dict[type[Choice], str] = {
    Dense: "dense",
    GDWS: "gdws",
    Tucker2: "tucker2",
    SVD: "svd",
    SpatialSVD: "spatial",
}
CHOICE_CLASSES = {name: kind for kind, name in FAMILY_NAMES.items()}


def family_of(choice: Choice) -> str:
    """Returns a choice's family: "dense", "gdws", "tucker2", "svd" or "spatial"."""
    try:
        return FAMILY_NAMES[type(choice)]
    except KeyError:
        raise PlanError(
            f"{choice!r} is not a choice for a layer; expected gx.Dense(), gx.GDWS(G), "
            "gx.Tucker2(r_out, r_in), gx.SVD(rank) or gx.SpatialSVD(rank)."
        ) from None


def ranks_of(choice: Choice) -> tuple[int, ...]:
    """Returns the ranks of a choice: (G,), (r_out, r_in), (rank,), or () for a dense layer."""
    match choice:
        case GDWS(G, _):
            return (G,)
        case Tucker2(r_out, r_in):
            return r_out, r_in
        case SVD(rank) | SpatialSVD(rank):
            return (rank,)
    return ()
