"""Records as CSV and JSON Lines, written and read without loss."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gdws_explorer.errors import DataError
from gdws_explorer.robust.interval import wilson
from gdws_explorer.study.records import KINDS, Record
from gdws_explorer.utils import files

# For spreadsheets; computed from the other columns, and ignored when a file is read.
DERIVED = ("hash", "clean_low", "clean_high", "robust_low", "robust_high", "fingerprint")
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
    "through",
    "stages",
    "note",
    "timings",
    "clean_mask",
    "robust_mask",
    "plan_json",
)


def csv_text(records: Iterable[Record]) -> str:
    """Returns CSV, one line per record, with the plan in words first and as JSON last."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        low, high = record.clean_interval
        robust_low, robust_high = record.robust_interval or (None, None)
        cells = {name: _cell(value) for name, value in record.to_dict().items()}
        writer.writerow(
            {
                **cells,
                "plan": str(record.plan),
                "hash": record.plan.hash,
                "clean_low": low,
                "clean_high": high,
                "robust_low": robust_low,
                "robust_high": robust_high,
                "fingerprint": record.plan.fingerprint,
                "plan_json": cells["plan"],
            }
        )
    return text.getvalue()


def write_csv(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Writes records as CSV, atomically."""
    files.write_text(path, csv_text(records))


def read_csv(path: str | os.PathLike[str]) -> tuple[Record, ...]:
    """Reads what `write_csv` wrote. Raises DataError, naming file, line and column."""
    with _long_cells():
        reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
        try:
            return tuple(
                _checked(_values(row, f"{path}, line {reader.line_num}"), path, reader.line_num)
                for row in reader
            )
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num} is not CSV ({error}).") from None


def write_jsonl(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Writes one JSON object per record and line, atomically."""
    lines = (json.dumps(record.to_dict(), ensure_ascii=False) + "\n" for record in records)
    files.write_text(path, "".join(lines))


def read_jsonl(path: str | os.PathLike[str]) -> tuple[Record, ...]:
    """Reads what `write_jsonl` wrote. Raises DataError, naming file, line and field."""
    records = []
    # not splitlines(): texts may hold line separators that JSON lets through
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number} is not complete JSON ({error.msg}); the file may be "
                "truncated: export the records again."
            ) from None
        records.append(_checked(raw, path, number))
    return tuple(records)


def _cell(value: Any) -> Any:
    """Returns a field as a CSV cell: empty for None, JSON for dicts and lists."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str) and value[:1] in ("", '"'):  # else "" would be read as None
        return json.dumps(value)
    return value


def _values(row: dict[str | None, Any], where: str) -> dict[str, Any]:
    """Returns the fields of a line of CSV."""
    if None in row or None in row.values():
        raise DataError(f"{where} has more or fewer cells than the header; export it again.")
    cells = {str(name): text for name, text in row.items() if name not in DERIVED}
    cells["plan"] = cells.pop("plan_json", "")
    values = {}
    for name, text in cells.items():
        kinds = KINDS.get(name, (str,))
        try:
            values[name] = _value(text, kinds)
        except ValueError:
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise DataError(f"{where} has {name}={text!r:.40}; expected {expected}.") from None
    return values


def _value(text: str, kinds: tuple[type, ...]) -> Any:
    if text == "" and type(None) in kinds:
        return None
    if dict in kinds or list in kinds or text.startswith('"'):
        return json.loads(text)
    if str in kinds:
        return text
    return float(text) if float in kinds else int(text)


def _checked(raw: Any, path: object, line: int) -> Record:
    """Returns a record whose counts and masks are consistent; DataError."""
    where = f"{path}, line {line}"
    record = Record.from_dict(raw, where)
    try:
        report = record.report
        for metric in ("clean", "robust"):
            count, mask = getattr(report, f"{metric}_correct"), getattr(report, f"{metric}_mask")
            if count is not None:
                wilson(count, record.n)
            if mask is not None and mask.sum() != count:
                raise DataError(f"{metric}_mask has {mask.sum()} images right, not {count}.")
    except ValueError as error:
        raise DataError(f"{where} cannot be used: {error}") from None
    return record


def _text(path: str | os.PathLike[str]) -> str:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:  # spreadsheets add a BOM
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a file of records: {error}.") from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """Allows cells longer than csv's limit, for the plans of large networks."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
