"""A plan's choices as JSON and back: strictly, and quickly for thousands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gdws_explorer.network.plans.choices import (
    FAMILY,
    GDWS,
    SVD,
    Choice,
    Dense,
    SpatialSVD,
    Tucker2,
    family_of,
    ranks_of,
)


def entry_of(choice: Choice) -> dict[str, object]:
    """A choice as JSON has it; the entries below read it."""
    match choice:
        case GDWS(G, None):
            return {"family": "gdws", "G": G}
        case GDWS(G, counts):
            return {"family": "gdws", "G": G, "counts": list(counts or ())}
        case Tucker2(r_out, r_in):
            return {"family": "tucker2", "r_out": r_out, "r_in": r_in}
        case SVD(rank) | SpatialSVD(rank):
            return {"family": family_of(choice), "rank": rank}
    return {"family": "dense"}


def plain_choice(entry: Mapping[str, object]) -> Choice:
    """A choice of whole numbers, quickly; ValueError for any other, for `PlanFile` to name."""
    if not {str, int}.issuperset(map(type, entry.values())):
        raise ValueError
    return _made(*entry.items())


@lru_cache(maxsize=2**14)
def _made(*entry: tuple[str, object]) -> Choice:
    """Thousands of plans share a few hundred choices."""
    numbers = dict(entry)
    choice = FAMILY[str(numbers.pop("family"))](**numbers)  # type: ignore[arg-type]
    if min(ranks_of(choice), default=1) < 1:
        raise ValueError
    return choice


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _DenseEntry(_Strict):
    family: Literal["dense"]

    def choice(self) -> Choice:
        return Dense()


class _GDWSEntry(_Strict):
    family: Literal["gdws"]
    G: Annotated[int, Field(ge=1)]
    counts: list[Annotated[int, Field(ge=0)]] | None = None

    def choice(self) -> Choice:
        return GDWS(self.G, None if self.counts is None else tuple(self.counts))


class _Tucker2Entry(_Strict):
    family: Literal["tucker2"]
    r_out: Annotated[int, Field(ge=1)]
    r_in: Annotated[int, Field(ge=1)]

    def choice(self) -> Choice:
        return Tucker2(self.r_out, self.r_in)


class _SVDEntry(_Strict):
    family: Literal["svd"]
    rank: Annotated[int, Field(ge=1)]

    def choice(self) -> Choice:
        return SVD(self.rank)


class _SpatialEntry(_Strict):
    family: Literal["spatial"]
    rank: Annotated[int, Field(ge=1)]

    def choice(self) -> Choice:
        return SpatialSVD(self.rank)


_Entry = Annotated[
    _DenseEntry | _GDWSEntry | _Tucker2Entry | _SVDEntry | _SpatialEntry,
    Field(discriminator="family"),
]


class PlanFile(_Strict):
    """A plan's JSON, strictly: what is missing, unknown or of another type is named."""

    schema_: Literal[1] = Field(alias="schema")
    fingerprint: str
    input_shape: list[int]
    calibration: str | None = None
    layers: dict[str, _Entry]
    checksum: str
