"""What every layer becomes: an immutable, hashable plan that travels as JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gdws_explorer.errors import PlanError
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.plan_json import PlanFile, entry_of, plain_choice
from gdws_explorer.utils import files

SCHEMA = 1
REFIT = "refit+"  # begins the source of plans of the weights that are refitted on images
TRAINED = "trained+"  # begins the source of plans whose factors were trained further


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
    def weights(self) -> str | None:
        """Which trained weights it is of; None for the network's own."""
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
        """16 hex digits that name this plan: equal plans, equal hash."""
        return self._checksum()[:16]

    def replace(self, name: str, choice: Choice) -> Plan:
        """The same plan with one layer changed; ranks are checked by the network that uses it."""
        return self.update({name: choice})

    def update(self, choices: Mapping[str, Choice]) -> Plan:
        """The same plan with several layers changed."""
        for name, choice in choices.items():
            self[name]
            family_of(choice)
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
            "layers": {name: entry_of(choice) for name, choice in self.layers},
        }

    def _checksum(self) -> str:
        # The order of the layers is part of the plan, so the keys are not sorted.
        return _digest(self._content())


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


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
            tuple((name, plain_choice(entry)) for name, entry in content["layers"].items()),
            content.get("calibration"),
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    if len(content) != 3 + ("calibration" in content) or _digest(content) != checksum:
        return None
    plan.__dict__["hash"] = checksum[:16]
    return plan
