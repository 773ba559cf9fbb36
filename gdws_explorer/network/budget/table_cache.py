"""Keeps tables and factors of a network on disk, so that it opens at once the next time."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils import cache_folder, files

SCHEMA = 1  # to be raised when entries are computed differently
FILES = 24  # number of files kept in a folder, the newest
FILE_NAME = re.compile(r"(alpha-)?[0-9a-f]{64}\.safetensors")
LARGE = 2_000_000  # weights: below, decomposing takes less than a second


def folder_of(cache: bool | str | os.PathLike[str], weights: int) -> Path | None:
    """Returns the folder of a cache argument, None for no cache.

    True is the user's cache folder, for a network of 2,000,000 weights or more; else none.
    """
    if cache is False or (cache is True and weights < LARGE):
        return None
    return cache_folder.default_folder() if cache is True else Path(cache)


class Cache:
    """Named tensors of one network, in one safetensors file.

    Tensors are mapped into memory and read at their first use. A file that is damaged, missing or
    of another schema is empty; an entry with a wrong checksum is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._tensors: Mapping[str, Tensor] = {}
        self._sums: Mapping[str, int] = {}
        try:
            with safe_open(self.path, "pt") as file:
                head = json.loads(file.metadata()["cache"])
            if head["schema"] == SCHEMA:
                self._tensors, self._sums = load_file(self.path), head["sums"]
            self.path.touch()
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return

    def get(self, entry: str) -> dict[str, Tensor] | None:
        """Returns the tensors of an entry by their names, None if it is missing or damaged."""
        found = {
            key.removeprefix(f"{entry}:"): tensor
            for key, tensor in self._tensors.items()
            if key.startswith(f"{entry}:")
        }
        intact = all(_sum(t) == self._sums.get(f"{entry}:{part}") for part, t in found.items())
        return found if found and intact else None

    def write(self, entries: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Replaces all entries, atomically, and deletes the oldest files of the folder."""
        tensors = {
            f"{entry}:{part}": tensor.contiguous()
            for entry, parts in entries.items()
            for part, tensor in parts.items()
        }
        head = {"schema": SCHEMA, "sums": {key: _sum(t) for key, t in tensors.items()}}
        with files.atomic(self.path) as temporary:
            save_file(tensors, temporary, {"cache": json.dumps(head)})
        found = [file for file in self.path.parent.iterdir() if FILE_NAME.fullmatch(file.name)]
        for old in sorted(found, key=lambda file: -file.stat().st_mtime)[FILES:]:
            old.unlink(missing_ok=True)


def _sum(tensor: Tensor) -> int:
    """Returns the checksum of a tensor."""
    return zlib.crc32(tensor.contiguous().numpy().data)


def cached(
    key: str,
    compute: Callable[[], dict[str, Tensor]],
    memory: dict[str, dict[str, Tensor]],
    folder: Path | None,
    *,
    must: bool,
) -> dict[str, Tensor]:
    """Returns the result of `compute`, from memory or from a file of this key if it is there.

    must : whether a folder that cannot be written is an error.
    """
    file = None if folder is None else Cache(folder / f"{key}.safetensors")
    stored = None if file is None else file.get(key)
    if key not in memory:
        memory[key] = compute() if stored is None else stored
    if file is not None and stored is None:
        try:
            file.write({key: memory[key]})
        except (ExplorerError, OSError):
            if must:
                raise
    return memory[key]
