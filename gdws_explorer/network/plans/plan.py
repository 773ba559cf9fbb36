"""Plans: one choice for every layer of a network, immutable and saved as JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gdws_explorer.errors import PlanError
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.plan_json import PlanFile, entry_of, plain_choice
from gdws_explorer.utils import files

SCHEMA = 1
REFIT = "refit+"  # prefix of `calibration` in plans of weights that are refitted on images
TRAINED = "trained+"  # prefix of `calibration` in plans whose factors were trained further


@dataclass(frozen=True)
class Plan:
    """One choice for every layer of one network.

    fingerprint : SHA-256 of the network's weights and layer shapes.
    input_shape : shape of one example, without the batch.
    layers : (name, choice) for every layer that can be approximated, in call order.
    calibration : label of the data or training that its factors are made from, as
        `Network.calibrated`, `Network.refitted` and `Network.trained` give it; None where the
        factors are made from the network's weights alone.
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
        # Python calls this for missing attributes only: here the layers of an `unread` plan.
        if name != "layers" or "_unread" not in self.__dict__:
            raise AttributeError(f"a Plan has no {name!r}")
        layers = Plan.from_dict(*self.__dict__["_unread"]).layers
        self.__dict__["layers"] = layers
        return layers

    def __str__(self) -> str:
        text: str | None = self.__dict__.get("_text")
        return self._describe() if text is None else text

    def _describe(self) -> str:
        changed = [
            f"{name} {choice}" for name, choice in self.layers if not isinstance(choice, Dense)
        ]
        rest = len(self.layers) - len(changed)
        if not changed:
            return "trained: all layers dense" if self.trained else "all layers dense"
        return self._source + ", ".join(changed) + (f"; {rest} dense" if rest else "")

    @property
    def refitted(self) -> bool:
        """Whether its last factors are refitted on images."""
        return self.calibration is not None and self.calibration.startswith(REFIT)

    @property
    def trained(self) -> bool:
        """Whether its factors were trained further."""
        return self.calibration is not None and self.calibration.startswith(TRAINED)

    @property
    def weights(self) -> str | None:
        """The label of the trained weights that it belongs to; None for the network's own."""
        return self.calibration if self.trained else None

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
        """16 hex digits of its checksum; equal plans have equal hashes."""
        return self._checksum()[:16]

    def replace(self, name: str, choice: Choice) -> Plan:
        """Returns the plan with another choice for one layer; the network checks the ranks."""
        return self.update({name: choice})

    def update(self, choices: Mapping[str, Choice]) -> Plan:
        """Returns the plan with other choices for some layers."""
        for name, choice in choices.items():
            self[name]
            family_of(choice)
        merged = tuple((name, choices.get(name, old)) for name, old in self.layers)
        return replace(self, layers=merged)

    # -- files -----------------------------------------------------------------------

    def to_dict(self) -> dict[str, object]:
        """Returns the plan as plain values for JSON, with schema version and checksum."""
        layers = {name: entry_of(choice) for name, choice in self.layers}
        return {"schema": SCHEMA, **self._head, "layers": layers, "checksum": self._checksum()}

    def to_json(self) -> str:
        """Returns `to_dict` as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the plan as JSON, atomically."""
        files.write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Reads a plan written by `save`. Raises PlanError with the reason for a damaged file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path} cannot be read as a plan: {error}.") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, where: str = "the plan") -> Plan:
        """Reads a plan from JSON text; `where` names it in errors. Raises PlanError."""
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
        """Reads the output of `to_dict`; `where` names it in errors. Raises PlanError."""
        unchanged = _unchanged(raw)
        if unchanged is not None:
            return unchanged
        if isinstance(raw, dict) and isinstance(raw.get("schema"), int) and raw["schema"] > SCHEMA:
            raise PlanError(
                f"{where} has schema {raw['schema']}, this version reads up to {SCHEMA}; "
                "update gdws-explorer."
            )
        try:
            file = PlanFile.model_validate(raw)
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
    def unread(cls, raw: dict[str, Any], where: str, text: str | None = None) -> Plan:
        """Reads the output of `to_dict`, but checks and reads its layers at their first use.

        A study has ten thousand plans, and a front needs only their hashes and texts. where : its
        name in the PlanError that may be raised then. text : its `str`, if known.
        """
        try:
            plan = object.__new__(cls)
            plan.__dict__.update(
                fingerprint=raw["fingerprint"],
                input_shape=tuple(raw["input_shape"]),
                calibration=raw.get("calibration"),
                hash=raw["checksum"][:16],
                _unread=(raw, where),
                _text=text,
            )
        except (TypeError, KeyError):
            return cls.from_dict(raw, where)
        return plan

    @property
    def _head(self) -> dict[str, object]:
        source = {} if self.calibration is None else {"calibration": self.calibration}
        return {
            "fingerprint": self.fingerprint,
            "input_shape": list(self.input_shape),
            **source,
        }

    def _checksum(self) -> str:
        # The JSON of the head and the layers, whose order is part of the plan: keys are not sorted.
        # A move of a slider writes only the layers that are new.
        head = json.dumps({**self._head, "layers": {}})
        layers = ", ".join([_layer_text(name, choice) for name, choice in self.layers])
        return _sha256(f"{head[:-2]}{layers}}}}}")


@lru_cache(1 << 14)
def _layer_text(name: str, choice: Choice) -> str:
    return json.dumps({name: entry_of(choice)})[1:-1]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unchanged(raw: object) -> Plan | None:
    """Reads a plan of correct checksum quickly, without pydantic: a study has ten thousand.

    Returns None for any other input; the strict reader then finds the fault.
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
            tuple((name, plain_choice(entry)) for name, entry in content["layers"].items()),
            content.get("calibration"),
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    if len(content) != 3 + ("calibration" in content) or _sha256(json.dumps(content)) != checksum:
        return None
    plan.__dict__["hash"] = checksum[:16]
    return plan
