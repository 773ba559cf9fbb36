"""What one layer becomes: dense, or one of the families with its ranks."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from gdws_explorer.errors import PlanError


@dataclass(frozen=True, slots=True)
class Dense:
    """The layer stays as it is."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class GDWS:
    """Generalized depthwise-separable: `G` depthwise kernels in all.

    counts : the kernels of every input channel, `(C,)`, summing to G; None means the G of
        largest energy, as MEGO with unit weights chooses them (Dbouk & Shanbhag, algorithm 1).
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
    """1×1 to `r_in` channels, K×K to `r_out`, 1×1 to the original outputs."""

    r_out: int
    r_in: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_out", _whole("r_out", self.r_out))
        object.__setattr__(self, "r_in", _whole("r_in", self.r_in))

    def __str__(self) -> str:
        return f"Tucker-2 {self.r_out}×{self.r_in}"


def _whole(name: str, value: object) -> int:
    """A plain int, so that every plan hashes and travels; numpy's and torch's are taken too."""
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
    """Channel SVD: K×K to `rank` channels (per group), then 1×1; of a linear layer, two layers."""

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
KINDS: dict[type[Choice], str] = {
    Dense: "dense",
    GDWS: "gdws",
    Tucker2: "tucker2",
    SVD: "svd",
    SpatialSVD: "spatial",
}
FAMILY = {name: kind for kind, name in KINDS.items()}


def family_of(choice: Choice) -> str:
    """The short name of a choice's family: "dense", "gdws", "tucker2", "svd" or "spatial"."""
    try:
        return KINDS[type(choice)]
    except KeyError:
        raise PlanError(
            f"{choice!r} is not a choice for a layer; expected gx.Dense(), gx.GDWS(G), "
            "gx.Tucker2(r_out, r_in), gx.SVD(rank) or gx.SpatialSVD(rank)."
        ) from None


def ranks_of(choice: Choice) -> tuple[int, ...]:
    """The numbers of a choice: (G,), (r_out, r_in), (rank,), or none of a dense layer."""
    match choice:
        case GDWS(G, _):
            return (G,)
        case Tucker2(r_out, r_in):
            return r_out, r_in
        case SVD(rank) | SpatialSVD(rank):
            return (rank,)
    return ()
