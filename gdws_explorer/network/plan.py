"""What every layer becomes: an immutable, hashable plan that travels as JSON."""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdws_explorer import files
from gdws_explorer.errors import PlanError

SCHEMA = 1
REFIT = "refit+"  # begins the source of plans of the weights that are refitted on images
TRAINED = "trained+"  # begins the source of plans whose factors were trained further


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


def family(choice: Choice) -> str:
    """The short name of a choice's family: "dense", "gdws", "tucker2", "svd" or "spatial"."""
    try:
        return KINDS[type(choice)]
    except KeyError:
        raise PlanError(
            f"{choice!r} is not a choice for a layer; expected gx.Dense(), gx.GDWS(G), "
            "gx.Tucker2(r_out, r_in), gx.SVD(rank) or gx.SpatialSVD(rank)."
        ) from None


def ranks(choice: Choice) -> tuple[int, ...]:
    """The numbers of a choice: (G,), (r_out, r_in), (rank,), or none of a dense layer."""
    match choice:
        case GDWS(G, _):
            return (G,)
        case Tucker2(r_out, r_in):
            return r_out, r_in
        case SVD(rank) | SpatialSVD(rank):
            return (rank,)
    return ()


@dataclass(frozen=True)
class Plan:
    """What every layer of one network becomes.

    fingerprint : SHA-256 of the network's weights and layer shapes.
    input_shape : one example's shape, without the batch.
    layers : (name, choice) for every layer that can be approximated, in call order.
    calibration : what its factors are made from beside the weights, as `Network.calibrated`,
        `Network.refitted` and `Network.trained` name it; None for the weights alone.
    """

    fingerprint: str
    input_shape: tuple[int, ...]
    layers: tuple[tuple[str, Choice], ...]
    calibration: str | None = None

    def __getitem__(self, name: str) -> Choice:
        try:
            return self._choices[name]
        except KeyError:
            raise PlanError(
                f"the plan has no layer {name!r}; its layers are {', '.join(self._choices)}."
            ) from None

    def __iter__(self) -> Iterator[tuple[str, Choice]]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getattr__(self, name: str) -> object:
        # Only what is not there is asked for here: the layers of a plan that came `unread`.
        if name != "layers" or "_unread" not in self.__dict__:
            raise AttributeError(f"a Plan has no {name!r}")
        layers = Plan.from_dict(*self.__dict__["_unread"]).layers
        self.__dict__["layers"] = layers
        return layers

    def __str__(self) -> str:
        said: str | None = self.__dict__.get("_said")
        return self._words() if said is None else said

    def _words(self) -> str:
        changed = [
            f"{name} {choice}" for name, choice in self.layers if not isinstance(choice, Dense)
        ]
        rest = len(self.layers) - len(changed)
        if not changed:
            return "trained: all layers dense" if self.trained else "all layers dense"
        return self._source + ", ".join(changed) + (f"; {rest} dense" if rest else "")

    @property
    def refitted(self) -> bool:
        """Whether it is a plan of the weights, refitted on images."""
        return self.calibration is not None and self.calibration.startswith(REFIT)

    @property
    def trained(self) -> bool:
        """Whether its factors were trained after they were made."""
        return self.calibration is not None and self.calibration.startswith(TRAINED)

    @property
    def _source(self) -> str:
        if self.calibration is None:
            return ""
        return "refitted: " if self.refitted else "trained: " if self.trained else "from data: "

    @cached_property
    def _choices(self) -> dict[str, Choice]:
        return dict(self.layers)

    @cached_property
    def hash(self) -> str:
        """16 hex digits that name this plan: equal plans, equal hash."""
        return self._checksum()[:16]

    def replace(self, name: str, choice: Choice) -> Plan:
        """The same plan with one layer changed; ranks are checked by the network that uses it."""
        return self.update({name: choice})

    def update(self, choices: Mapping[str, Choice]) -> Plan:
        """The same plan with several layers changed."""
        for name, choice in choices.items():
            self[name]
            family(choice)
        merged = tuple((name, choices.get(name, old)) for name, old in self.layers)
        return replace(self, layers=merged)

    # -- files -----------------------------------------------------------------------

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready description with schema version and checksum."""
        return {"schema": SCHEMA, **self._content(), "checksum": self._checksum()}

    def to_json(self) -> str:
        """`to_dict` as indented text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, atomically."""
        files.write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan written by `save`; a damaged or edited file is refused with the reason."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path} cannot be read as a plan: {error}.") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, where: str = "the plan") -> Plan:
        """Read a plan from JSON text; `where` names it in errors."""
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise PlanError(
                f"{where} is not complete JSON (line {error.lineno}: {error.msg}); it may be "
                "truncated: export the plan again."
            ) from error
        return cls.from_dict(raw, where)

    @classmethod
    def from_dict(cls, raw: object, where: str = "the plan") -> Plan:
        """Read what `to_dict` wrote."""
        unchanged = _unchanged(raw)
        if unchanged is not None:
            return unchanged
        if isinstance(raw, dict) and isinstance(raw.get("schema"), int) and raw["schema"] > SCHEMA:
            raise PlanError(
                f"{where} has schema {raw['schema']}, this version reads up to {SCHEMA}; "
                "update gdws-explorer."
            )
        try:
            file = _PlanFile.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "top level"
            raise PlanError(
                f"{where} is not a plan: {place}: {first['msg']}; export the plan again."
            ) from error
        plan = cls(
            file.fingerprint,
            tuple(file.input_shape),
            tuple((name, entry.choice()) for name, entry in file.layers.items()),
            file.calibration,
        )
        if plan._checksum() != file.checksum:
            raise PlanError(
                f"{where} was changed after it was written (its checksum does not match); "
                "change plans with plan.replace and save them again."
            )
        return plan

    @classmethod
    def unread(cls, raw: dict[str, Any], where: str, said: str | None = None) -> Plan:
        """What `to_dict` wrote, its layers checked and read only when somebody asks for them.

        A study has ten thousand plans, and a front needs their hashes and what they say. `where`
        names it in the PlanError that comes then; `said` : its `str`, where that is known.
        """
        try:
            plan = object.__new__(cls)
            plan.__dict__.update(
                fingerprint=raw["fingerprint"],
                input_shape=tuple(raw["input_shape"]),
                calibration=raw.get("calibration"),
                hash=raw["checksum"][:16],
                _unread=(raw, where),
                _said=said,
            )
        except (TypeError, KeyError):
            return cls.from_dict(raw, where)
        return plan

    def _content(self) -> dict[str, object]:
        source = {} if self.calibration is None else {"calibration": self.calibration}
        return {
            "fingerprint": self.fingerprint,
            "input_shape": list(self.input_shape),
            **source,
            "layers": {name: _entry(choice) for name, choice in self.layers},
        }

    def _checksum(self) -> str:
        # The order of the layers is part of the plan, so the keys are not sorted.
        return _digest(self._content())


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _entry(choice: Choice) -> dict[str, object]:
    match choice:
        case GDWS(G, None):
            return {"family": "gdws", "G": G}
        case GDWS(G, counts):
            return {"family": "gdws", "G": G, "counts": list(counts or ())}
        case Tucker2(r_out, r_in):
            return {"family": "tucker2", "r_out": r_out, "r_in": r_in}
        case SVD(rank) | SpatialSVD(rank):
            return {"family": family(choice), "rank": rank}
    return {"family": "dense"}


def _unchanged(raw: object) -> Plan | None:
    """A plan whose checksum fits, read without pydantic: a study has ten thousand of them.

    None where anything is odd; the strict reading then says what.
    """
    try:
        content = dict(raw)  # type: ignore[call-overload]
        schema, checksum = content.pop("schema"), content.pop("checksum")
        texts = (checksum, content["fingerprint"], content.get("calibration", ""))
        whole = (schema, *content["input_shape"])
        if {*map(type, texts)} != {str} or {*map(type, whole)} != {int} or schema != SCHEMA:
            return None
        plan = Plan(
            content["fingerprint"],
            tuple(content["input_shape"]),
            tuple((name, _plain(entry)) for name, entry in content["layers"].items()),
            content.get("calibration"),
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    if len(content) != 3 + ("calibration" in content) or _digest(content) != checksum:
        return None
    plan.__dict__["hash"] = checksum[:16]
    return plan


def _plain(entry: Mapping[str, object]) -> Choice:
    """A choice of whole numbers; ValueError for any other."""
    if not {str, int}.issuperset(map(type, entry.values())):
        raise ValueError
    return _made(*entry.items())


@lru_cache(maxsize=2**14)
def _made(*entry: tuple[str, object]) -> Choice:
    """Thousands of plans share a few hundred choices."""
    numbers = dict(entry)
    choice = FAMILY[str(numbers.pop("family"))](**numbers)  # type: ignore[arg-type]
    if min(ranks(choice), default=1) < 1:
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


class _PlanFile(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    fingerprint: str
    input_shape: list[int]
    calibration: str | None = None
    layers: dict[str, _Entry]
    checksum: str
