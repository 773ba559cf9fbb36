"""A record: one plan, what it costs and what was measured of it. Plain data, exact JSON, CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from gdws_explorer.errors import DataError, ExplorerError
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.evaluate import Report
from gdws_explorer.robust.interval import Counted
from gdws_explorer.robust.staged import from_dict as attack_from_dict

if TYPE_CHECKING:
    from gdws_explorer.network.summary import Summary
    from gdws_explorer.robust.evaluate import Report

MEASURED_WITH = ("gdws-explorer", "torch", "numpy", "torchattacks")


@dataclass(frozen=True)
class Setting:
    """What must be equal before two records may stand on one front.

    fingerprint : the network's. data : `data_fingerprint` of the images and labels.
    attack : the attack's `to_dict()`, None where only clean accuracy was measured.
    n, seed : which of the images, and the noise.
    """

    fingerprint: str
    data: str
    attack: Mapping[str, Any] | None = field(hash=False)
    n: int
    seed: int

    @property
    def key(self) -> str:
        """A short name, different for different settings."""
        whole = json.dumps(self.to_dict(), sort_keys=True)
        attack = "clean" if self.attack is None else str(self.attack.get("name", "attack"))
        digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
        return f"{self.fingerprint[:8]} {attack} n {self.n} {digest}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        attack = None if self.attack is None else dict(self.attack)
        return {
            "fingerprint": self.fingerprint,
            "data": self.data,
            "attack": attack,
            "n": self.n,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Record(Counted):
    """One measured plan.

    Accuracies are fractions of `n` images, with the counts beside them so that intervals can be
    computed again; `robust` and `robust_correct` are None where nothing attacked. `seconds` is
    the measurement's time, `created` ISO 8601 in UTC, `parent` the hash of the plan that this
    one was made from, `note` what a Report's is.
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
    note: str | None = None

    @property
    def setting(self) -> Setting:
        """The setting in which it was measured."""
        return Setting(self.plan.fingerprint, self.data, self.attack, self.n, self.seed)

    @property
    def report(self) -> Report:
        """The measurement as `evaluate` reported it, without the verdict on each image."""
        return Report(
            clean_correct=self.clean_correct,
            robust_correct=self.robust_correct,
            n=self.n,
            attack=None if self.attack is None else attack_from_dict(self.attack),
            seed=self.seed,
            seconds=self.seconds,
            note=self.note,
        )

    def accuracy(self, metric: str) -> float | None:
        """The accuracy called "clean" or "robust"."""
        if metric not in ("clean", "robust"):
            raise ExplorerError(f"{metric!r} is no accuracy; expected 'clean' or 'robust'.")
        return self.clean if metric == "clean" else self.robust

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives back an equal record."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        row["plan"] = self.plan.to_dict()
        row["attack"] = None if self.attack is None else dict(self.attack)
        row["versions"] = dict(self.versions)
        if self.note is None:  # as older versions wrote it
            del row["note"]
        return row

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "the record") -> Record:
        """Read what `to_dict` wrote; unknown or missing fields are named."""
        names = {each.name for each in fields(cls)}
        odd = sorted(names.symmetric_difference({"note", *raw}))
        if odd:
            raise DataError(
                f"{where} has missing or unknown fields: {', '.join(odd)}; it was written by "
                "another version: measure the plan again."
            )
        return cls(**{**raw, "plan": Plan.from_dict(raw["plan"], f"the plan of {where}")})


def record_of(
    plan: Plan,
    summary: Summary,
    report: Report,
    *,
    data: str,
    parent: str | None = None,
) -> Record:
    """Join a plan, its costs and a finished measurement, and note versions, machine and time.

    data : `data_fingerprint` of the images that were measured. parent : hash of the plan that
    this one came from.
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
        versions=versions(),
        machine=machine(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parent=parent,
        note=report.note,
    )


def versions() -> dict[str, str]:
    """The versions that a measurement depends on; a package that is not installed is left out."""
    found = {}
    for name in MEASURED_WITH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """System, processor type and cores of this machine, without its name."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


COLUMNS = (
    "plan",
    "hash",
    "macs",
    "params",
    "bytes",
    "error",
    "relative_error",
    "clean",
    "clean_low",
    "clean_high",
    "robust",
    "robust_low",
    "robust_high",
    "n",
    "clean_correct",
    "robust_correct",
    "attack",
    "seed",
    "data",
    "fingerprint",
    "seconds",
    "machine",
    "versions",
    "created",
    "parent",
    "plan_json",
)


def csv_text(records: Iterable[Record]) -> str:
    """One line per record, with the plan in words first and as JSON last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        low, high = record.clean_interval
        robust_low, robust_high = record.robust_interval or (None, None)
        writer.writerow(
            {
                **record.to_dict(),
                "plan": str(record.plan),
                "hash": record.plan.hash,
                "clean_low": low,
                "clean_high": high,
                "robust_low": robust_low,
                "robust_high": robust_high,
                "attack": "" if record.attack is None else json.dumps(dict(record.attack)),
                "fingerprint": record.plan.fingerprint,
                "versions": json.dumps(dict(record.versions)),
                "plan_json": json.dumps(record.plan.to_dict()),
            }
        )
    return text.getvalue()
