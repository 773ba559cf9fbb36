"""The checkpoint file of an evaluation, from which an interrupted evaluation goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError
from gdws_explorer.utils import files
from gdws_explorer.utils.hashing import Digest

SCHEMA = 1


class EvaluationCheckpoint:
    """The results of the finished batches, written after each batch.

    settings : all settings of the evaluation; a file with other settings is refused.
    clean, robust : correct images without attack `(n,)` and after each attack `(stages, n)`, bool;
        images that were not evaluated yet are False.
    done : number of evaluated images, whole batches from the first on. seconds : spent on them.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: Mapping[str, Any], n: int, stages: int
    ) -> None:
        self.path = Path(path)
        self.settings = dict(settings)
        self.clean = torch.zeros(n, dtype=torch.bool)
        self.robust = torch.zeros(stages, n, dtype=torch.bool)
        self.done = 0
        self.seconds = 0.0
        if self.path.exists():
            self._read()

    def write(self, clean: Tensor, robust: Tensor, done: int, seconds: float) -> None:
        """Writes the results of the first `done` images."""
        raw = {
            "schema": SCHEMA,
            "settings": self.settings,
            "done": done,
            "seconds": seconds,
            "clean": _digits(clean[:done]),
            "standing": [_digits(stage[:done]) for stage in robust],
        }
        files.write_text(self.path, json.dumps(raw))

    def _read(self) -> None:
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            if raw["schema"] != SCHEMA:
                raise ValueError(f"schema {raw['schema']}, this version reads {SCHEMA}")
            stored, done = raw["settings"], int(raw["done"])
            clean = _mask(raw["clean"], done)
            robust = [_mask(digits, done) for digits in raw["standing"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path} is not an evaluation that can be continued ({error}); delete it to "
                "begin anew."
            ) from None
        other = sorted(
            key for key in {*stored, *self.settings} if stored.get(key) != self.settings.get(key)
        )
        if other:
            words = ", ".join(
                f"{key} {stored.get(key)!r} there, {self.settings.get(key)!r} here" for key in other
            )
            raise DataError(
                f"{self.path} belongs to another evaluation ({words}); give another file, or "
                "delete it to begin anew."
            )
        self.done, self.seconds = done, float(raw["seconds"])
        self.clean[:done] = clean
        for own, mask in zip(self.robust, robust, strict=True):
            own[:done] = mask


def model_digest(model: nn.Module) -> str:
    """Returns 16 hexadecimal digits of a model's class, weights and buffers."""
    return Digest(type(model).__qualname__).state(model).hex[:16]


def _digits(mask: Tensor) -> str:
    return "".join("1" if correct else "0" for correct in mask.tolist())


def _mask(digits: str, done: int) -> Tensor:
    if len(digits) != done or set(digits) - {"0", "1"}:
        raise ValueError("its results are damaged")
    return torch.tensor([digit == "1" for digit in digits], dtype=torch.bool)
