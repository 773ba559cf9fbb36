"""Records: a plan, its costs and its measured accuracies, as plain data with exact JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.interval import AccuracyCounts
from gdws_explorer.robust.paired_difference import PairedDifference
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import any_attack_from_dict as attack_from_dict
from gdws_explorer.utils.provenance import library_versions, machine

if TYPE_CHECKING:
    from gdws_explorer.network.plans.cost import Summary


Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EvaluationSetting:
    """Evaluation setting: records share a front only where it is equal.

    fingerprint : of the network. data : `data_fingerprint` of the images and labels. attack : the
    attack's `to_dict()`; None where only clean accuracy was measured. n, seed : number of images,
    which images, and the noise.
    """

    fingerprint: str
    data: str
    attack: Mapping[str, Any] | None = field(hash=False)
    n: int
    seed: int

    @property
    def key(self) -> str:
        """A short name, unique to the setting."""
        whole = json.dumps(self.to_dict(), sort_keys=True)
        attack = "clean" if self.attack is None else str(self.attack.get("name", "attack"))
        digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
        return f"{self.fingerprint[:8]} {attack} n {self.n} {digest}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the setting as JSON-ready data."""
        attack = None if self.attack is None else dict(self.attack)
        return {
            "fingerprint": self.fingerprint,
            "data": self.data,
            "attack": attack,
            "n": self.n,
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> EvaluationSetting:
        """Reads what `to_dict` returned."""
        return cls(**{each.name: raw[each.name] for each in fields(cls)})

    @property
    def label(self) -> str:
        """The attack, the number of images and the seed, as text."""
        attack = "no attack" if self.attack is None else attack_from_dict(self.attack).label
        return f"{attack} · n {self.n} · seed {self.seed}"


@dataclass(frozen=True)
class Record(AccuracyCounts):
    """One measured plan.

    Accuracies are fractions of `n` images, and the counts allow intervals to be computed again;
    `robust` and `robust_correct` are None without an attack. `seconds` is the measurement's time,
    `created` ISO 8601 in UTC, `parent` the hash of the plan that this one was made from.

    through, stages, note : as in `Report`. clean_mask, robust_mask : the verdict on every image,
    eight to a byte, as hex digits; None where it was not stored. timings : other times, by a name
    with the unit, `{"build s": 0.3}`. Records of older versions lack these fields.
    """

    plan: Plan
    macs: int
    params: int
    bytes: int
    error: float
    relative_error: float
    clean: float
    robust: float | None
    n: int
    clean_correct: int
    robust_correct: int | None
    attack: Mapping[str, Any] | None = field(hash=False)
    seed: int
    data: str
    seconds: float
    versions: Mapping[str, str] = field(hash=False)
    machine: str
    created: str
    parent: str | None = None
    through: str = "dense"
    stages: tuple[int, ...] = ()
    note: str | None = None
    clean_mask: str | None = None
    robust_mask: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def setting(self) -> EvaluationSetting:
        """The setting in which it was measured."""
        return EvaluationSetting(self.plan.fingerprint, self.data, self.attack, self.n, self.seed)

    @property
    def report(self) -> Report:
        """The measurement as a `Report`, for `gx.compare` too."""
        return Report(
            clean_correct=self.clean_correct,
            robust_correct=self.robust_correct,
            n=self.n,
            attack=None if self.attack is None else attack_from_dict(self.attack),
            seed=self.seed,
            seconds=self.seconds,
            through=self.through,
            stages=self.stages,
            note=self.note,
            clean_mask=_unpacked(self.clean_mask, self.n),
            robust_mask=_unpacked(self.robust_mask, self.n),
        )

    def accuracy(self, metric: str) -> float | None:
        """Returns the accuracy "clean" or "robust"; None where it was not measured."""
        if metric not in ("clean", "robust"):
            raise ExplorerError(f"unknown accuracy {metric!r}; expected 'clean' or 'robust'.")
        return self.clean if metric == "clean" else self.robust

    def paired(self, first: Record, metric: str) -> PairedDifference | None:
        """Returns the paired difference from another record of this setting; None without verdicts.

        As `gx.compare(first, self)`, but fast enough for thousands of records.
        """
        one, other = (getattr(record, f"{metric}_mask") for record in (first, self))
        if one is None or other is None:
            return None
        before, after = int(one, 16), int(other, 16)
        return PairedDifference(
            (before & ~after).bit_count(), (after & ~before).bit_count(), self.n
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-ready data; `from_dict` reads it."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        row["plan"] = self.plan.to_dict()
        row["attack"] = None if self.attack is None else dict(self.attack)
        row["versions"] = dict(self.versions)
        row["stages"] = list(self.stages)
        row["timings"] = dict(self.timings)
        return row

    @classmethod
    def from_dict(
        cls, raw: Mapping[str, Any], where: str = "the record", *, plan: Plan | None = None
    ) -> Record:
        """Reads what `to_dict` returned, also in versions before some fields existed; DataError.

        plan : the record's plan, where it is read already.
        """
        if not isinstance(raw, dict):
            raise DataError(f"{where} is {raw!r:.40}; expected a record's fields and values.")
        unknown = sorted(raw.keys() - KINDS.keys())
        if unknown:
            raise DataError(
                f"{where} has unknown fields: {', '.join(unknown)}; if a later version wrote it, "
                "update gdws-explorer."
            )
        missing = sorted(REQUIRED - raw.keys())
        if missing:
            raise DataError(
                f"{where} has missing fields: {', '.join(missing)}; measure the plan again."
            )
        for name, value in raw.items():
            if type(value) not in KINDS[name]:
                kinds = " or ".join(kind.__name__ for kind in KINDS[name])
                raise DataError(f"{where} has {name}={value!r:.40}; expected {kinds}.")
        if plan is None:
            plan = Plan.from_dict(raw["plan"], f"the plan of {where}")
        return cls(**{**raw, "plan": plan, "stages": tuple(raw.get("stages", ()))})


# The types of every field, as JSON gives them.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("macs", "params", "bytes", "n", "clean_correct", "seed"), (int,)),
    **dict.fromkeys(("error", "relative_error", "clean", "seconds"), (float, int)),
    **dict.fromkeys(("data", "machine", "created", "through"), (str,)),
    **dict.fromkeys(("parent", "note", "clean_mask", "robust_mask"), (str, type(None))),
    **dict.fromkeys(("plan", "versions", "timings"), (dict,)),
    "attack": (dict, type(None)),
    "robust": (float, int, type(None)),
    "robust_correct": (int, type(None)),
    "stages": (list,),
}
REQUIRED = frozenset(
    each.name
    for each in fields(Record)
    if each.default is MISSING and each.default_factory is MISSING
)


def record_of(
    plan: Plan,
    summary: Summary,
    report: Report,
    *,
    data: str,
    parent: str | None = None,
    timings: Mapping[str, float] | None = None,
) -> Record:
    """Returns the record of a plan, its costs and its report, with versions, machine and time.

    data : `data_fingerprint` of the measured images. parent : hash of the plan that this one was
    made from. timings : other times, as in `Record`.
    """
    return Record(
        plan=plan,
        macs=int(summary.macs),
        params=int(summary.params),
        bytes=int(summary.bytes),
        error=float(summary.error),
        relative_error=float(summary.relative_error),
        clean=float(report.clean),
        robust=None if report.robust is None else float(report.robust),
        n=int(report.n),
        clean_correct=int(report.clean_correct),
        robust_correct=None if report.robust_correct is None else int(report.robust_correct),
        attack=None if report.attack is None else report.attack.to_dict(),
        seed=int(report.seed),
        data=data,
        seconds=float(report.seconds),
        versions=library_versions(),
        machine=machine(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parent=parent,
        through=report.through,
        stages=report.stages,
        note=report.note,
        clean_mask=_packed(report.clean_mask),
        robust_mask=_packed(report.robust_mask),
        timings=dict(timings or {}),
    )


def _packed(mask: Mask | None) -> str | None:
    return None if mask is None else np.packbits(mask).tobytes().hex()


def _unpacked(digits: str | None, n: int) -> Mask | None:
    if digits is None:
        return None
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=n).astype(bool)
