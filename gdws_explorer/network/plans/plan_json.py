"""Choices to JSON and back: a strict reader, and a quick one for thousands of plans."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gdws_explorer.network.plans.choices import (
    CHOICE_CLASSES,
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
    """Returns a choice as plain values for JSON."""
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
    """Reads a choice of whole numbers quickly.

    Raises ValueError for any other entry; `PlanFile` then finds the fault.
    """
    if not {str, int}.issuperset(map(type, entry.values())):
        raise ValueError
    return _made(*entry.items())


@lru_cache(maxsize=2**14)
def _made(*entry: tuple[str, object]) -> Choice:
    """Returns the choice of an entry; cached, since thousands of plans share few choices."""
    numbers = dict(entry)
    choice = CHOICE_CLASSES[str(numbers.pop("family"))](**numbers)  # type: ignore[arg-type]
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
    """Schema of a plan's JSON; missing, unknown or wrongly typed fields are errors."""

    schema_: Literal[1] = Field(alias="schema")
    fingerprint: str
    input_shape: list[int]
    calibration: str | None = None
    layers: dict[str, _Entry]
    checksum: str
