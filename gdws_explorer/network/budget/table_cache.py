"""Tables and factors of a network on disk, so that it opens at once the next time."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdws_explorer.errors import ExplorerError
from gdws_explorer.utils import files

SCHEMA = 1  # another way to compute an entry wants another number
FILES = 24  # of ours kept in a folder, the newest
OURS = re.compile(r"(alpha-)?[0-9a-f]{64}\.safetensors")
WORTH = 2_000_000  # weights: below, decomposing takes less than a second


def default_folder() -> Path:
    """The user's cache folder for this package."""
    return Path(platformdirs.user_cache_dir("gdws-explorer"))


def folder_of(cache: bool | str | os.PathLike[str], weights: int) -> Path | None:
    """The folder that somebody named, or the default one for a network of so many weights."""
    if cache is False or (cache is True and weights < WORTH):
        return None
    return default_folder() if cache is True else Path(cache)


class Cache:
    """Named tensors of one network, in one safetensors file.

    Tensors are mapped into memory and read when they are asked for. A file that is damaged, of
    another schema or missing holds nothing; an entry whose checksum is wrong is not there.
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
        """The tensors of an entry by their names, None where it is missing or damaged."""
        found = {
            key.removeprefix(f"{entry}:"): tensor
            for key, tensor in self._tensors.items()
            if key.startswith(f"{entry}:")
        }
        whole = all(_sum(t) == self._sums.get(f"{entry}:{part}") for part, t in found.items())
        return found if found and whole else None

    def write(self, entries: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Write these entries instead of all there were, atomically; the oldest files go."""
        tensors = {
            f"{entry}:{part}": tensor.contiguous()
            for entry, parts in entries.items()
            for part, tensor in parts.items()
        }
        head = {"schema": SCHEMA, "sums": {key: _sum(t) for key, t in tensors.items()}}
        with files.atomic(self.path) as temporary:
            save_file(tensors, temporary, {"cache": json.dumps(head)})
        ours = [file for file in self.path.parent.iterdir() if OURS.fullmatch(file.name)]
        for old in sorted(ours, key=lambda file: -file.stat().st_mtime)[FILES:]:
            old.unlink(missing_ok=True)


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.contiguous().numpy().data)


def cached(
    key: str,
    compute: Callable[[], dict[str, Tensor]],
    memory: dict[str, dict[str, Tensor]],
    folder: Path | None,
    *,
    must: bool,
) -> dict[str, Tensor]:
    """What `compute` gives, from memory or a file of this key in `folder` where it was before.

    must : whether a folder that cannot be written is an error.
    """
    file = None if folder is None else Cache(folder / f"{key}.safetensors")
    kept = None if file is None else file.get(key)
    if key not in memory:
        memory[key] = compute() if kept is None else kept
    if file is not None and kept is None:
        try:
            file.write({key: memory[key]})
        except (ExplorerError, OSError):
            if must:
                raise
    return memory[key]
